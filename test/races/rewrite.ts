/**
 * Texts of kernels whose order of work can be chosen when they run. WebGPU promises no order of a dispatch's workgroups, and
 * between barriers none of a workgroup's invocations. Software adapters always take the same: an invocation after the other
 * (a vector of them at a time), each as far as the next barrier. So they never show what a GPU may do.
 */

/** How a reordered kernel takes its work. */
export interface Order {
  /** Invocation i of a workgroup does the work of i · `stride` (mod their number), and likewise for workgroups. */
  readonly stride: number;
  /** Whether both are then counted from the end. */
  readonly reversed: boolean;
  /** The bits that a workgroup's memory holds at first; the kernels must not depend on them. Atomics begin as 0. */
  readonly memory: number;
}

/** A prime that divides no usual number: neighbours come to lie in different vectors of a software adapter. */
const STRIDE = 37;

/** The bits of NaN, of 1e30 and of −1e30: a sum shows the first, a maximum or a minimum one of the others. */
export const poisons = [0x7fc00000, 0x7149f2ca, 0xf149f2ca] as const;

/** The order in which software adapters work, with memory that is zero, as WGSL promises. */
export const usual: Order = { stride: 1, reversed: false, memory: 0 };

/** Every order but the usual one: reversed, shuffled, and both. */
export const orders: readonly Order[] = poisons.flatMap((memory) => [
  { stride: 1, reversed: true, memory },
  { stride: STRIDE, reversed: false, memory },
  { stride: STRIDE, reversed: true, memory },
]);

/** The words of an {@link Order}, as a reordered kernel reads them from the uniform of group 1, binding 0. */
export const encodeOrder = ({ stride, reversed, memory }: Order): Uint32Array<ArrayBuffer> =>
  Uint32Array.of(stride, Number(reversed), memory, 0);

/** WGSL without its comments. */
const bare = (code: string): string => code.replace(/\/\/.*$/gm, "");

/**
 * The kernel's text, with an entry that poisons the workgroup's memory, then gives each invocation the ids of another one.
 * Its place in its subgroup stays the hardware's: values are passed round by it. (WGSL does not say which invocations of a
 * workgroup share a subgroup, so no kernel may depend on it.)
 * @throws Error for what it does not know: a built-in value, or a type in the workgroup's memory
 */
export function reordered(code: string): string {
  const text = bare(code);
  const entry = /@compute\s+@workgroup_size\(([^)]*)\)\s*fn main\(/.exec(text);
  if (!entry) throw new Error("no entry called main");
  const start = entry.index + entry[0].length;
  const end = closing(text, start);
  const size = splitList(entry[1]!);
  const parameters = splitList(text.slice(start, end));
  const fills = [...text.matchAll(/var<workgroup>\s+(\w+)\s*:\s*([^;]+);/g)]
    .map(([, name, type]) => poison(text, name!, type!.trim(), 0))
    .join("");
  const plain = parameters.map((parameter) => parameter.replaceAll(BUILTIN, "")).join(", ");
  const taken = SUBGROUP.filter((name) => new RegExp(`@builtin\\(${name}\\)`).test(text));
  return `${text.slice(0, entry.index)}fn kernel_main(${plain}${text.slice(end)}
struct OrderOfWork {
  stride: u32,
  reversed: u32,
  memory: u32,
}
@group(1) @binding(0) var<uniform> order_of_work: OrderOfWork;

fn order_turn(i: u32, count: u32) -> u32 {
  let at = i * order_of_work.stride % count;
  return select(at, count - 1u - at, order_of_work.reversed != 0u);
}

@compute @workgroup_size(${size.join(", ")})
fn main(
  @builtin(local_invocation_index) order_index: u32,
  @builtin(workgroup_id) order_id: vec3u,
  @builtin(num_workgroups) order_groups: vec3u,
${taken.map((name) => `  @builtin(${name}) ${name}: u32,\n`).join("")}) {
  let order_size = vec3u(${[...size, "1", "1"].slice(0, 3).join(", ")});
  let order_threads = order_size.x * order_size.y * order_size.z;
${fills}${fills && "  workgroupBarrier();\n"}  let order_lane = order_turn(order_index, order_threads);
  let order_local = vec3u(
    order_lane % order_size.x,
    order_lane / order_size.x % order_size.y,
    order_lane / (order_size.x * order_size.y),
  );
  let order_linear = order_turn(
    order_id.x + order_groups.x * (order_id.y + order_groups.y * order_id.z),
    order_groups.x * order_groups.y * order_groups.z,
  );
  let order_group = vec3u(
    order_linear % order_groups.x,
    order_linear / order_groups.x % order_groups.y,
    order_linear / (order_groups.x * order_groups.y),
  );
  kernel_main(${parameters.map((parameter) => argument(parameter, text)).join(", ")});
}
`;
}

const BUILTIN = /@builtin\(\w+\)\s*/g;
const SUBGROUP = ["subgroup_invocation_id", "subgroup_size"] as const;

const values: Readonly<Record<string, string>> = {
  local_invocation_index: "order_lane",
  local_invocation_id: "order_local",
  workgroup_id: "order_group",
  global_invocation_id: "order_group * order_size + order_local",
  num_workgroups: "order_groups",
  ...Object.fromEntries(SUBGROUP.map((name) => [name, name])),
};

/** What the new entry passes for a parameter of the old one: a built-in value, or a struct of them. */
function argument(parameter: string, text: string): string {
  const builtin = /@builtin\((\w+)\)/.exec(parameter)?.[1];
  if (builtin !== undefined) {
    const value = values[builtin];
    if (value === undefined) throw new Error(`what ${builtin} is in another order is not known`);
    return value;
  }
  const type = typeOf(parameter);
  const members = membersOf(text, type);
  if (!members) throw new Error(`no struct ${type}`);
  return `${type}(${members.map((member) => argument(member, text)).join(", ")})`;
}

/** The declarations of a struct's members; undefined for a type that is no struct. */
function membersOf(text: string, type: string): string[] | undefined {
  const members = new RegExp(`struct ${type}\\s*\\{([^}]*)\\}`).exec(text)?.[1];
  return members === undefined ? undefined : splitList(members);
}

const typeOf = (declaration: string): string => declaration.slice(declaration.indexOf(":") + 1).trim();

/** Statements that fill a variable of the workgroup with the order's bits. */
function poison(text: string, variable: string, type: string, depth: number): string {
  if (/^atomic\b/.test(type)) return "";
  const array = /^array<(.*)>$/s.exec(type)?.[1];
  if (array === undefined) return `  ${variable} = ${bits(text, type)};\n`;
  const [element = "", count = ""] = splitList(array);
  const i = `order_i${depth}`;
  const inner = poison(text, `${variable}[${i}]`, element, depth + 1);
  const [from, step] = depth === 0 ? ["order_index", "order_threads"] : ["0u", "1u"];
  return inner && `  for (var ${i} = ${from}; ${i} < u32(${count}); ${i} += ${step}) {\n${inner}  }\n`;
}

/** A value of a type, made of the order's bits. */
function bits(text: string, type: string): string {
  const members = membersOf(text, type);
  if (members) {
    const values = members.map((member) => bits(text, typeOf(member)));
    return `${type}(${values.join(", ")})`;
  }
  const [, size, letter] =
    /^(?:vec([234]))?([fiu])(?:32)?$/.exec(type.replace(/^vec([234])<(\w)32>$/, "vec$1$2")) ?? [];
  if (letter === undefined) throw new Error(`how to fill ${type} is not known`);
  const word = letter === "u" ? "order_of_work.memory" : `bitcast<${letter}32>(order_of_work.memory)`;
  return size === undefined ? word : `vec${size}${letter}(${word})`;
}

/** The text's parts between commas outside all brackets. */
function splitList(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === "(" || c === "<" || c === "[") depth++;
    else if (c === ")" || c === ">" || c === "]") depth--;
    else if (c === undefined || (c === "," && depth === 0)) {
      const part = text.slice(from, i).trim();
      if (part) parts.push(part);
      from = i + 1;
    }
  }
  return parts;
}

/** Where the bracket closes that was opened before `from`. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let i = from; i < text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth === 0) return i;
  }
  throw new Error("a bracket is not closed");
}

const BARRIER = /\b(?:workgroup|storage|texture)Barrier\(\)|\bworkgroupUniformLoad\(&([^)]*)\)/g;

/** A kernel's text without one of its barriers. */
export interface Removal {
  readonly barrier: string;
  /** The same for the same barrier of the same function, in whatever kernel. */
  readonly key: string;
  readonly code: string;
}

/** The kernel's text without each of its barriers in turn; a `workgroupUniformLoad` becomes a plain one. */
export function removals(code: string): Removal[] {
  const text = bare(code);
  return [...text.matchAll(BARRIER)].map((found, i) => {
    const [barrier, loaded] = found;
    const rest = text.slice(found.index + barrier.length);
    const before = text.slice(0, found.index);
    const within = [...before.matchAll(/^\s*fn (\w+)/gm)].at(-1);
    const opened = before.slice(within?.index ?? 0);
    return {
      barrier: `${barrier} ${i + 1} (in ${within?.[1] ?? "?"})`,
      key: opened + barrier + rest.slice(0, rest.indexOf("\n}")),
      // A call that does nothing may stand wherever a barrier does.
      code: `${before}${loaded === undefined ? "no_barrier()" : `(${loaded})`}${rest}\nfn no_barrier() {}\n`,
    };
  });
}
