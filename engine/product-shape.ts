/** A matrix `[rows, columns]` that a token is multiplied by. */
export interface ProductShape {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Matrices of this shape that each token goes through. */
  readonly count: number;
}
