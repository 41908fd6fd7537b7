// A thread of a workgroup, and its place in its subgroup. At least SHARED_LOAD_LANES lanes of a subgroup share loads.
enable subgroups;

override SHARED_LOAD_LANES: u32; // 4 or 8

struct Invocation {
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) place: u32,
}
