// A thread of a workgroup.
struct Invocation {
  @builtin(local_invocation_index) lane: u32,
}
