import * as v from "valibot";
import {
  activationOf,
  commonOf,
  type DecoderConfig,
  decoderFields,
  headSizeOf,
  parseFields,
} from "./decoder-config.ts";
import type { Family } from "./family.ts";
import { readRope, ropeFields } from "./rope.ts";

const schema = v.object({
  ...decoderFields,
  ...ropeFields,
  hidden_act: v.optional(v.string(), "gelu"),
  layer_norm_eps: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-5),
  rotary_pct: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0.25),
  rotary_emb_base: v.optional(v.number(), 10000),
  use_parallel_residual: v.optional(v.boolean(), true),
  attention_bias: v.optional(v.boolean(), true),
});

/** GPT-NeoX (Black et al. 2022), such as Pythia. */
export const gptNeox: Family = {
  parse(value, name): DecoderConfig {
    const c = parseFields(schema, value, name);
    const headSize = headSizeOf(c.hidden_size, c.num_attention_heads, name);
    const rope = {
      headSize,
      theta: c.rotary_emb_base,
      partial: c.rotary_pct,
      positions: c.max_position_embeddings,
    };
    return {
      ...commonOf(c),
      family: "gpt_neox",
      kvHeads: c.num_attention_heads,
      headSize,
      rope: readRope(c, rope, `${name}: rope_scaling`),
      eps: c.layer_norm_eps,
      parallel: c.use_parallel_residual,
      activation: activationOf(c.hidden_act, name),
      attentionBias: c.attention_bias,
      mlpBias: true,
    };
  },

  names: {
    embed: "gpt_neox.embed_in.weight",
    norm: "gpt_neox.final_layer_norm",
    head: "embed_out.weight",
    layer: (i) => `gpt_neox.layers.${i}.`,
    norm1: "input_layernorm",
    norm2: "post_attention_layernorm",
    qkv: ["attention.query_key_value"],
    out: "attention.dense",
    up: ["mlp.dense_h_to_4h"],
    down: "mlp.dense_4h_to_h",
    // Buffers in older checkpoints.
    ignored: /\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  },
  rms: false,
  // Each head's q, k and v lie together.
  interleavedQkv: true,

  layer(w, c, op) {
    const attention = op.attend(w);
    const up = op.normed(w.norm2, w.up, "inner", c.activation);
    const out = op.fromAttention(w);
    const down = op.product(w.down, "inner", "h", "add");
    return c.parallel ? [...attention, ...up, ...out, ...down] : [...attention, ...out, ...up, ...down];
  },
};
