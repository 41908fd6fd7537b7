/** One query's attention, `out = Σ_j softmax_j(scores) v_j`, is `attention`'s for a prompt of one row. */
export { attentionReference as attentionStepReference } from "../attention/reference.ts";
