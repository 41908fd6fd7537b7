// The temperature of a row's next token. The kernel binds `run`, and `metrics` [steps, rows, LAYERS], with R first.
override LAYERS: u32;

fn temperature_of(setting: Sampling, row: u32, step: u32) -> f32 {
  if (setting.phase_temperature == 0.0) {
    return setting.temperature;
  }
  var order = 0.0;
  for (var layer = 0u; layer < LAYERS; layer++) {
    order += metrics[(step * run.rows + row) * LAYERS + layer].x;
  }
  return phase_aware(setting.temperature, setting.phase_temperature, order, LAYERS);
}
