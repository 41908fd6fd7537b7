// What changes from pass to pass. A pass feeds `length` tokens to each of rows / length streams; row = stream · length + t.
// A decode step is a pass of length 1. Streams share nothing but the pass: each has its own slot and position.
struct Run {
  rows: u32,
  length: u32,
  unused: vec2u,
  streams: array<Stream, 1024>, // [rows / length]
}

struct Stream {
  slot: u32, // where its state lies
  position: u32, // of the first token it feeds, in the first step
  unused: vec2u,
}

// What the host prepares ahead for several steps: their angles, and the current step. One vec4 per row and block: cos ψ,
// sin ψ of the drive, cos θ, sin θ of the PVM's read-out.
struct Schedule {
  step: u32,
  @align(16) angles: array<vec4f>, // [steps, rows, layers]
}
