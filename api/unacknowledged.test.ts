import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { endOf, readUnacknowledged } from "./unacknowledged.ts";

it("writes an end of a connection as the system's table does", () => {
  expect(endOf("127.0.0.1", 8000)).toBe("0100007F:1F40");
  expect(endOf("::", 80)).toBe(`${"0".repeat(32)}:0050`);
  expect(endOf("::1", 65535)).toBe("00000000000000000000000001000000:FFFF");
  expect(endOf("::ffff:127.0.0.1", 1)).toBe("0000000000000000FFFF00000100007F:0001");
  expect(endOf("2001:db8:1:2:3:4:5:6", 1)).toBe("B80D01200200010004000300060005" + "00:0001");
  expect(endOf("fe80::1%eth0", 1)).toBe("000080FE000000000000000001000000:0001");
});

it.runIf(process.platform === "linux")(
  "sees that a reader takes what the system had taken long before",
  async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const reader = connect(port, "127.0.0.1").pause();
    const [socket] = await accepted;
    try {
      while (socket.write(Buffer.alloc(65_536)));
      const before = (await readUnacknowledged())(socket)!;
      expect(before).toBeGreaterThan(0);
      for (let left = before; left >= before; left = (await readUnacknowledged())(socket)!) {
        reader.read();
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect((await readUnacknowledged())(new (await import("node:net")).Socket())).toBeUndefined();
    } finally {
      reader.destroy();
      socket.destroy();
      server.close();
    }
  },
);
