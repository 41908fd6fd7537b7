/** A shader's source text: bundlers load `.wgsl` files as strings. */
declare module "*.wgsl" {
  const source: string;
  export default source;
}
