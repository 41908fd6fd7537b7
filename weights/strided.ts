import { allocate, type ByteSource } from "./byte-source.ts";
import { type Dtype, dtypeSize, elementCount } from "./dtype.ts";
import { invalidFile, listed, unsupported } from "./refuse.ts";

/** Bytes of a storage that are held while a strided tensor is gathered from it. */
const WINDOW_BYTES = 4 * 2 ** 20;
/** The most bytes for a view whose elements share places, which is read in one piece. */
const MAX_OVERLAPPING_BYTES = 64 * 2 ** 20;

/** A tensor as a window on a storage: `element[i…] = storage[offset + Σ i·stride]`, counted in elements. */
export interface StridedView {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** A dimension with its step in the storage and its step in the row-major result. */
interface Axis {
  readonly size: number;
  readonly stride: number;
  readonly outStride: number;
}

/**
 * Refuses a view that leaves its storage, or that would be larger than it (a stride of 0 can make a terabyte of one
 * element). Nothing is allocated before this check.
 * @param where the name of the tensor in errors
 * @param storageBytes the length of the storage
 */
export function checkView(where: string, view: StridedView, storageBytes: number): void {
  const shape = listed(view.shape);
  const count = elementCount(view.shape);
  const size = dtypeSize(view.dtype);
  if (count === undefined || !Number.isSafeInteger(count * size)) {
    throw invalidFile(where, `its shape ${shape} is too large`);
  }
  const available = Math.floor(storageBytes / size);
  const end = view.offset + (count === 0 ? 0 : spanOf(view));
  if (!(end <= available)) {
    throw invalidFile(
      where,
      `leaves its storage: shape ${shape}, strides ${listed(view.strides)} at ${view.offset} need ${end} ` +
        `elements, but it has only ${available}`,
    );
  }
  if (count > available) {
    throw unsupported(
      where,
      `it has ${count} elements, but its storage only ${available} (strides ${listed(view.strides)})`,
      "Save it after .contiguous()",
    );
  }
  if (overlaps(view) && spanOf(view) * size > MAX_OVERLAPPING_BYTES) {
    throw unsupported(
      where,
      `its elements overlap (strides ${listed(view.strides)})`,
      "Save it after .contiguous()",
    );
  }
}

/** The number of storage elements from the view's first to its last. Infinite if it is not a safe integer. */
function spanOf(view: StridedView): number {
  let last = 0;
  view.shape.forEach((size, i) => {
    last += (size - 1) * view.strides[i]!;
  });
  return Number.isSafeInteger(view.offset + last + 1) ? last + 1 : Number.POSITIVE_INFINITY;
}

/** The dimensions in the order of the storage: largest step first. Dimensions of size 1 are left out. */
function axesOf(view: StridedView): Axis[] {
  const axes: Axis[] = [];
  let outStride = 1;
  for (let i = view.shape.length - 1; i >= 0; i--) {
    const size = view.shape[i]!;
    if (size !== 1) axes.unshift({ size, stride: view.strides[i]!, outStride });
    outStride *= size;
  }
  return axes.sort((a, b) => b.stride - a.stride);
}

/** Whether two indices may have the same place; when false, they certainly do not. */
function overlaps(view: StridedView): boolean {
  let reach = 0;
  for (const axis of axesOf(view).reverse()) {
    if (axis.stride <= reach) return true;
    reach += (axis.size - 1) * axis.stride;
  }
  return false;
}

function isContiguous(axes: readonly Axis[]): boolean {
  return axes.every((axis) => axis.stride === axis.outStride);
}

/**
 * Reads a view's elements in row-major order. A contiguous view is a single read; any other is walked in the order of the
 * storage through a window of 4 MiB, so that memory stays near the tensor's own size, whichever part is asked for.
 * @param storageStart the byte of the source where the storage begins
 * @param view one that `checkView` has accepted
 * @param from with `to`: the first wanted byte of the elements, and the one after the last; by default all
 */
export async function readView(
  source: ByteSource,
  storageStart: number,
  view: StridedView,
  from = 0,
  to = elementCount(view.shape)! * dtypeSize(view.dtype),
): Promise<Uint8Array> {
  if (from === to) return new Uint8Array(0);
  const axes = axesOf(view);
  const start = storageStart + view.offset * dtypeSize(view.dtype);
  if (isContiguous(axes)) return source.read(start + from, to - from);
  const whole = await gather(source, start, view, axes);
  return from === 0 && to === whole.length ? whole : whole.slice(from, to);
}

/** Reads the elements of a view that is not contiguous and begins at byte `start`. */
async function gather(
  source: ByteSource,
  start: number,
  view: StridedView,
  axes: readonly Axis[],
): Promise<Uint8Array> {
  const size = dtypeSize(view.dtype);
  const count = elementCount(view.shape)!;

  const out = allocate(source.name, count * size);
  const spanBytes = spanOf(view) * size;
  const windowBytes = overlaps(view) ? spanBytes : Math.min(spanBytes, WINDOW_BYTES);
  let windowAt = 0;
  let window = await source.read(start, windowBytes);
  const inner = axes.at(-1)!;
  const outer = axes.slice(0, -1);
  const index = outer.map(() => 0);
  let from = 0;
  let to = 0;
  for (;;) {
    for (let done = 0; done < inner.size; ) {
      const at = (from + done * inner.stride) * size;
      if (at < windowAt || at + size > windowAt + window.length) {
        windowAt = at;
        window = await source.read(start + at, Math.min(windowBytes, spanBytes - at));
      }
      const inWindow =
        inner.stride === 0
          ? inner.size
          : 1 + Math.floor((windowAt + window.length - at - size) / (inner.stride * size));
      const many = Math.min(inner.size - done, inWindow);
      const target = to + done * inner.outStride;
      copyRun(window, at - windowAt, inner.stride, out, target * size, inner.outStride, many, size);
      done += many;
    }
    let axis = outer.length - 1;
    for (; axis >= 0; axis--) {
      const { size: extent, stride, outStride } = outer[axis]!;
      index[axis]!++;
      from += stride;
      to += outStride;
      if (index[axis]! < extent) break;
      index[axis] = 0;
      from -= extent * stride;
      to -= extent * outStride;
    }
    if (axis < 0) return out;
  }
}

/** Copies `count` elements of `size` bytes, which are `sourceStride` and `targetStride` elements apart. */
function copyRun(
  source: Uint8Array,
  sourceAt: number,
  sourceStride: number,
  target: Uint8Array,
  targetAt: number,
  targetStride: number,
  count: number,
  size: number,
): void {
  if (sourceStride === 1 && targetStride === 1) {
    target.set(source.subarray(sourceAt, sourceAt + count * size), targetAt);
    return;
  }
  for (let i = 0; i < count; i++) {
    const s = sourceAt + i * sourceStride * size;
    const t = targetAt + i * targetStride * size;
    for (let b = 0; b < size; b++) target[t + b] = source[s + b]!;
  }
}
