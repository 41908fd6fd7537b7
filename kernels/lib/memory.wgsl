// One step of both memories for one pair: PVM m = β m + α u, and PLM z = λe^{iω} z + (1 − λ) u (SPEC §1). `memory` and
// `Decay` are those of memory-scan: (m re, m im, z re, z im). u is the pair (u[j], u[j + ⌊D/2⌋]).
struct Decay {
  step: vec4f, // β, α, Re λe^{iω}, Im λe^{iω}
  chunk: vec4f, // 1 − λ, β^CHUNK, Re (λe^{iω})^CHUNK, Im (λe^{iω})^CHUNK
}

fn rotate_and_add(z: vec2f, factor: vec2f, drive: vec2f) -> vec2f {
  return vec2f(
    fma(factor.x, z.x, fma(-factor.y, z.y, drive.x)),
    fma(factor.x, z.y, fma(factor.y, z.x, drive.y)),
  );
}

fn advance(memory: vec4f, u: vec2f, decay: Decay) -> vec4f {
  let m = fma(vec2f(decay.step.x), memory.xy, decay.step.y * u);
  return vec4f(m, rotate_and_add(memory.zw, decay.step.zw, decay.chunk.x * u));
}

// The memory after a whole chunk that started from `memory`; `end` is the memory after the same chunk started from zero.
fn carry(memory: vec4f, end: vec4f, decay: Decay) -> vec4f {
  let m = fma(vec2f(decay.chunk.y), memory.xy, end.xy);
  return vec4f(m, rotate_and_add(memory.zw, decay.chunk.zw, end.zw));
}
