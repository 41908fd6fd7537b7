import { bunFunctions } from "./foreign-functions.ts";

/** Sets a variable of this process's environment, or removes it, also for native code that reads it. */
export function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
  setNative(name, value);
}

type SetNative = (name: string, value: string | undefined) => void;
let native: SetNative | undefined;

/** Node and Deno pass `process.env` on to the C library; Bun keeps a copy of its own. */
function setNative(name: string, value: string | undefined): void {
  native ??= bunSetter() ?? (() => {});
  native(name, value);
}

function bunSetter(): SetNative | undefined {
  if (process.platform !== "linux") return undefined; // nowhere else is a driver named by variables
  const { setenv, unsetenv } =
    bunFunctions()?.dlopen("libc.so.6", {
      setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" },
      unsetenv: { args: ["ptr"], returns: "i32" },
    }).symbols ?? {};
  if (!setenv || !unsetenv) return undefined;
  const text = (value: string): Buffer => Buffer.from(`${value}\0`);
  return (name, value) => {
    if (value === undefined) unsetenv(text(name));
    else setenv(text(name), text(value), 1);
  };
}
