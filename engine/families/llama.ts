import * as v from "valibot";
import { ResonantError } from "../../common/errors.ts";
import {
  commonOf,
  count,
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
  num_key_value_heads: v.nullish(count(1, 1024)),
  head_dim: v.nullish(count(1, 1024)),
  hidden_act: v.optional(v.picklist(["silu", "swish"]), "silu"),
  rms_norm_eps: v.optional(v.pipe(v.number(), v.minValue(0)), 1e-6),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false),
});

/** Llama (Touvron et al. 2023), such as TinyLlama. */
export const llama: Family = {
  parse(value, name): DecoderConfig {
    const c = parseFields(schema, value, name);
    const heads = c.num_attention_heads;
    const kvHeads = c.num_key_value_heads ?? heads;
    if (heads % kvHeads !== 0) {
      throw new ResonantError("invalid_file", `${kvHeads} do not divide num_attention_heads ${heads}`, {
        where: `${name}: num_key_value_heads`,
      });
    }
    const headSize = c.head_dim ?? headSizeOf(c.hidden_size, heads, name);
    const rope = { headSize, theta: 10000, partial: 1, positions: c.max_position_embeddings };
    return {
      ...commonOf(c),
      family: "llama",
      kvHeads,
      headSize,
      rope: readRope(c, rope, `${name}: rope_scaling`),
      eps: c.rms_norm_eps,
      parallel: false,
      activation: "swiglu",
      attentionBias: c.attention_bias,
      mlpBias: c.mlp_bias,
    };
  },

  names: {
    embed: "model.embed_tokens.weight",
    norm: "model.norm",
    head: "lm_head.weight",
    layer: (i) => `model.layers.${i}.`,
    norm1: "input_layernorm",
    norm2: "post_attention_layernorm",
    qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    out: "self_attn.o_proj",
    up: ["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    ignored: /\.rotary_emb\.inv_freq$/,
  },
  rms: true,
  interleavedQkv: false,

  layer(w, c, op) {
    return [
      ...op.attend(w),
      ...op.fromAttention(w),
      ...op.normed(w.norm2, w.up, "inner", c.activation),
      ...op.product(w.down, "inner", "h", "add"),
    ];
  },
};
