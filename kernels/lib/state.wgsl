// Where a block's part of a stream's state lies: [slots, layers, TAIL + PVM + PLM, D], the conv tail first.
override SLOT_STRIDE: u32;
override LAYER_STRIDE: u32;
override TAIL: u32; // rows of conv tail before the memories
override PVM: bool;
override PLM: bool;
