import type { BlockConstants } from "./config.ts";

/** σ. */
export const logistic = (x: number): number => 1 / (1 + Math.exp(-x));

/** λ of lattice mode (p, q): clamp(β + κ(2cos(2πp/Gx) + 2cos(2πq/Gy) − 4), 1e-3, 0.9999) (SPEC §1). */
export function latticeDecay(
  beta: number,
  kappa: number,
  [gx, gy]: readonly [number, number],
  mode: number,
): number {
  const p = Math.floor(mode / gy);
  const q = mode % gy;
  const laplacian = 2 * Math.cos((2 * Math.PI * p) / gx) + 2 * Math.cos((2 * Math.PI * q) / gy) - 4;
  return Math.min(0.9999, Math.max(1e-3, beta + kappa * laplacian));
}

/**
 * Writes cos ψ, sin ψ of the drive of a block and cos θ, sin θ of its PVM readout at position `t`. The angles are computed
 * in f64, since θ grows with the logarithm of time and WGSL guarantees the accuracy of sines only within [−π, π].
 */
export function writeAngles(target: Float32Array, offset: number, block: BlockConstants, t: number): void {
  const psi = block.driveOmega * Math.log1p(t) + block.drivePhi;
  const theta = block.pvmOmega * Math.log(block.step + t + 2) + block.pvmPhi;
  target[offset] = Math.cos(psi);
  target[offset + 1] = Math.sin(psi);
  target[offset + 2] = Math.cos(theta);
  target[offset + 3] = Math.sin(theta);
}
