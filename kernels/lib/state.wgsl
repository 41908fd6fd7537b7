// The layout of streams' states: [slots, layers, TAIL + PVM + PLM, D], the conv tail first.
override SLOT_STRIDE: u32;
override LAYER_STRIDE: u32;
override TAIL: u32; // rows of the conv tail, before the memories
override PVM: bool;
override PLM: bool;
