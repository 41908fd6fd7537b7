import { type ByteSource, blobSource, bytesSource } from "../../../weights/byte-source.ts";

/** One copy in memory reads faster than a Blob, where it is small. */
const SMALL_BYTES = 2 ** 28;

/** A Blob to read tensors from. */
export async function sourceOf(name: string, blob: Blob): Promise<ByteSource> {
  return blob.size < SMALL_BYTES
    ? bytesSource(name, new Uint8Array(await blob.arrayBuffer()))
    : blobSource(name, blob);
}
