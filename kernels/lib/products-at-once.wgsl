// What products in lanes and in slices share: nothing is loaded ahead, and there are 64 threads.
const THREADS = 64u;

struct Ahead {
  nothing: u32,
}

fn load_ahead(group: u32, invocation: Invocation) -> Ahead {
  return Ahead();
}

fn multiply_ahead(group: u32, invocation: Invocation, ahead: Ahead) {
  multiply(group, invocation);
}

fn input_place(i: u32) -> u32 {
  return i;
}

fn two_products_of(product: u32) -> vec2f {
  return vec2f(product_of(product), product_of(product + 1u));
}
