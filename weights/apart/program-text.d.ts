/** A program's text: bundlers load `?program` as one script with all of its imports. */
declare module "*?program" {
  const text: string;
  export default text;
}
