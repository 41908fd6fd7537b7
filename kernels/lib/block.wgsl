// What differs from block to block.
struct Block {
  layer: u32,
  alpha: f32, // share of the drive in p
  gain: f32, // γ · ramp
}
