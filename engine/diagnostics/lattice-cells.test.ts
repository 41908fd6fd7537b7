import { describe, expect, it } from "vitest";
import { LatticeCoherence } from "./coherence.ts";
import { LatticeCells } from "./lattice-cells.ts";

/** A fixed, uneven signal. */
const modes = (size: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(1.7 * i * i + 0.3));

function cellsOf(z: Float32Array, grid: readonly [number, number]): Float32Array {
  const cells = new Float32Array(z.length);
  new LatticeCells(grid).write(z, cells);
  return cells;
}

describe.each([
  { grid: [4, 4] as const, components: 8 },
  { grid: [2, 8] as const, components: 3 },
  { grid: [5, 3] as const, components: 2 },
  { grid: [1, 1] as const, components: 4 },
])("the cells of $components components of $grid", ({ grid, components }) => {
  const [gx, gy] = grid;
  const half = components * gx * gy;
  const z = modes(2 * half);
  const cells = cellsOf(z, grid);

  it("are the double sum over the modes", () => {
    for (let c = 0; c < components; c++) {
      for (let x = 0; x < gx; x++) {
        for (let y = 0; y < gy; y++) {
          let [re, im] = [0, 0];
          for (let p = 0; p < gx; p++) {
            for (let q = 0; q < gy; q++) {
              const pair = c * gx * gy + p * gy + q;
              const angle = 2 * Math.PI * ((p * x) / gx + (q * y) / gy);
              re += z[pair]! * Math.cos(angle) - z[pair + half]! * Math.sin(angle);
              im += z[pair]! * Math.sin(angle) + z[pair + half]! * Math.cos(angle);
            }
          }
          const cell = c * gx * gy + x * gy + y;
          expect(cells[cell]).toBeCloseTo(re, 5);
          expect(cells[cell + half]).toBeCloseTo(im, 5);
        }
      }
    }
  });

  it("are as coherent as the engine says of the modes", () => {
    let sum = 0;
    for (let c = 0; c < components; c++) {
      let [re, im, moduli] = [0, 0, 0];
      for (let cell = c * gx * gy; cell < (c + 1) * gx * gy; cell++) {
        re += cells[cell]!;
        im += cells[cell + half]!;
        moduli += Math.hypot(cells[cell]!, cells[cell + half]!);
      }
      sum += Math.hypot(re, im) / moduli;
    }
    expect(sum / components).toBeCloseTo(new LatticeCoherence(grid).of(z), 6);
  });
});
