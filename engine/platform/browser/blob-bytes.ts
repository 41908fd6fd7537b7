import { type ByteSource, blobSource, bytesSource } from "../../../weights/byte-source.ts";

/** Up to this size a copy in memory is made, which reads faster than a Blob. */
const SMALL_BYTES = 2 ** 28;

/** A source of tensors in a Blob. */
export async function sourceOf(name: string, blob: Blob): Promise<ByteSource> {
  return blob.size < SMALL_BYTES
    ? bytesSource(name, new Uint8Array(await blob.arrayBuffer()))
    : blobSource(name, blob);
}
