// Where a workgroup's threads leave the slices of its products, [products, SLICES], to be added in order.
override SLICES: u32; // of 32 columns, the last padded with zeros
override PRODUCTS: u32;
override K4 = SLICES * 8u; // vec4s in a padded row
override PARTIALS = PRODUCTS * SLICES;

var<workgroup> partial: array<f32, PARTIALS>;

fn sum_slices(product: u32) -> f32 {
  var total = 0.0;
  for (var slice = 0u; slice < SLICES; slice++) {
    total += partial[product * SLICES + slice];
  }
  return total;
}
