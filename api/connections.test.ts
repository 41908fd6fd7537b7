import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, expect, it } from "vitest";
import { Connections } from "./connections.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A server that answers when the test says so. */
async function serve() {
  const answers: ServerResponse[] = [];
  const server = createServer((_, outgoing) => answers.push(outgoing));
  const connections = new Connections(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => connections.destroy());
  const open = async (sent: string): Promise<Socket> => {
    const accepted = once(server, "connection");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.on("error", () => undefined);
    await accepted;
    if (sent) await new Promise((resolve) => socket.write(sent, resolve));
    return socket;
  };
  const close = () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    connections.closeWhenDone();
    return closed;
  };
  const arrived = (count: number) =>
    answers.length >= count ? undefined : once(server, "request").then(() => undefined);
  return { open, close, answers, arrived };
}

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

it("a closing server does not wait for connections that have sent nothing, or half of a request's headers", async () => {
  const { open, close } = await serve();
  const sockets = [await open(""), await open("GET / HTTP/1.1\r\nHost:")];
  await close();
  for (const socket of sockets) expect(await text(socket).catch(() => "")).toBe("");
});

it("nor for one whose request has been answered", async () => {
  const { open, close, answers, arrived } = await serve();
  const socket = await open(REQUEST);
  await arrived(1);
  answers[0]!.end("done");
  await once(socket, "data");
  await close();
});

it("it waits for requests under way, and closes their connections when they are answered", async () => {
  const { open, close, answers, arrived } = await serve();
  const said = text(await open(REQUEST));
  await arrived(1);
  let closed = false;
  const closing = close().then(() => {
    closed = true;
  });
  answers[0]!.write("half ");
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toBe(false);
  answers[0]!.end("and half");
  await closing;
  expect(await said).toContain("half");
  expect(await said).toContain("and half");
});
