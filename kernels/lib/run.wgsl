// What changes from pass to pass. A pass feeds `length` tokens of each of rows / length streams, whose states lie in
// consecutive slots from `slot`; row = stream · length + t. A decode step is a pass of length 1.
struct Run {
  rows: u32,
  length: u32,
  slot: u32,
}

// What the host prepares ahead for several steps: their angles, and the step to read. One vec4 a row and block:
// cos ψ, sin ψ of the drive, cos θ, sin θ of the PVM's read-out.
struct Schedule {
  step: u32,
  position: u32, // of the first step's token
  angles: array<vec4f>, // [steps, rows, layers]
}
