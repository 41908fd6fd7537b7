import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { retrieveResponse } from "../api/schemas/retrieve.ts";
import { retrievalDiagnostics } from "../engine/diagnostics/retrieval-diagnostics.ts";
import { Model } from "../engine/model.ts";
import { openModelFolder } from "../engine/platform/node/files.ts";
import { retrieve as search } from "../engine/retrieval/retrieval.ts";
import { testGpu } from "./gpu.ts";
import { byteTokenizer, fixturePath, loadTiny } from "./models.ts";
import { post, startServer, type TestServer } from "./server.ts";

const BODY = {
  context: "the oscillators drift; the lattice hums; the oscillators agree",
  needle: "lattice hums",
} as const;
const WANTED = { return_phase_metrics: true, return_memory_stats: true } as const;

let model: Model;
let server: TestServer;

beforeAll(async () => {
  model = await loadTiny(await testGpu(), { slots: 4 });
  server = await startServer(model);
});
afterAll(() => server.stop());

const retrieve = (body: object, url = server.url) => post(`${url}/v1/retrieve`, { ...BODY, ...body });

describe("/v1/retrieve", () => {
  it("reports phases and memories only if requested", async () => {
    const plain = await retrieve({});
    const names = ["matches", "needle", "retrieval_mode", "timing_ms"];
    expect(Object.keys(plain.body)).toEqual(names);
    const phases = await retrieve({ return_phase_metrics: true });
    expect(Object.keys(phases.body)).toEqual([...names, "phase_metrics"]);
    const memories = await retrieve({ return_memory_stats: true });
    expect(Object.keys(memories.body)).toEqual([...names, "memory_stats"]);
    const both = await retrieve(WANTED);
    expect(both.body).toEqual({
      ...plain.body,
      ...phases.body,
      ...memories.body,
      timing_ms: expect.any(Number),
    });
  });

  it("ranks the needle of the contract's examples first, and has low confidence in an absent one", async () => {
    const examples = [
      ["...long text... The secret code is X7Z9 ...more text...", "secret code is X7Z9"],
      ["Random text... The key insight is resonance... More text...", "key insight"],
      ["Long context... The answer is 42 ...more text...", "answer is 42"],
    ] as const;
    for (const retrieval_mode of ["pvm", "plm", "hybrid"]) {
      for (const [context, needle] of examples) {
        const { body } = await retrieve({ context, needle, retrieval_mode, top_k: 3 });
        const { matches } = v.parse(retrieveResponse, body);
        expect(matches[0]).toMatchObject({ text: needle, similarity: 1, confidence: 1 });
        const absent = await retrieve({ context, needle: "violet giraffes", retrieval_mode });
        for (const { confidence } of v.parse(retrieveResponse, absent.body).matches) {
          expect(confidence).toBeLessThan(0.5);
        }
      }
    }
  });

  it.each(["pvm", "plm", "hybrid"] as const)("measures the memory used by the search: %s", async (mode) => {
    const { status, body } = await retrieve({ ...WANTED, retrieval_mode: mode });
    expect(status).toBe(200);
    const { phase_metrics, memory_stats } = v.parse(retrieveResponse, body);
    const { workingBytes } = await search(model, { ...BODY, mode, topK: 5 });
    const { phase, memory } = await retrievalDiagnostics(model, {
      tokens: await model.encode(BODY.context),
      cue: await model.encode(BODY.needle),
      position: BODY.context.indexOf(BODY.needle),
      mode,
      memoryBytes: workingBytes,
    });
    const { curvature } = phase;
    expect(phase_metrics).toEqual({
      phase_coherence: phase.phaseCoherence,
      plm_coherence: phase.plmCoherence,
      curvature: {
        curv_peak_at_needle: curvature.peakAtNeedle,
        curv_peak_before_needle: curvature.peakBeforeRetrieval,
        curv_traj_len: curvature.tokens,
        curv_peak_idx: curvature.peakIndex,
        curv_peak_offset_from_retrieval: curvature.peakOffset,
        curv_peak_at_needle_binary: curvature.peakIsAtNeedle ? 1 : 0,
        curv_pre_peak_fraction: curvature.fractionBeforeRetrieval,
        curv_entropy: curvature.entropy,
      },
    });
    expect(memory_stats).toEqual({
      pvm_mem_norm: memory.pvmMemoryNorm,
      pvm_gate_strength: memory.pvmGateStrength,
      plm_coherence: memory.plmCoherence,
      total_memory_kb: memory.memoryBytes / 1024,
    });
    expect(memory_stats!.total_memory_kb).toBeGreaterThan(BODY.context.length / 1024);
    expect(phase_metrics!.curvature.curv_traj_len).toBe(BODY.context.length + BODY.needle.length);
    for (const share of [phase_metrics!.phase_coherence, phase_metrics!.plm_coherence]) {
      expect(share).toBeGreaterThan(0);
      expect(share).toBeLessThan(1);
    }
  });

  it("uses the query as the cue if there is one", async () => {
    const other = await retrieve({ ...WANTED, needle: "nothing", query: BODY.needle });
    const { phase_metrics, memory_stats } = (await retrieve(WANTED)).body;
    expect(other.body).toMatchObject({ phase_metrics, memory_stats });
  });

  it("measures the cue variant that was found: with a space added or removed before it, or unchanged", async () => {
    const length = async (context: string, needle: string): Promise<number> => {
      const { body } = await retrieve({ return_phase_metrics: true, context, needle });
      expect(body.matches[0].similarity).toBeCloseTo(1, 5);
      return body.phase_metrics.curvature.curv_traj_len - context.length;
    };
    expect(await length("some oscillators drift", "drift")).toBe(5);
    expect(await length("some oscillators drift", " drift")).toBe(6);
    expect(await length("some oscillators (drift)", " drift")).toBe(5);
  });

  it("refuses and names invalid flags", async () => {
    for (const field of Object.keys(WANTED)) {
      const { status, body } = await retrieve({ [field]: 2 });
      expect([status, body.details.field]).toEqual([400, field]);
    }
  });

  it("gives null for the lattice that a model lacks", async () => {
    const files = await openModelFolder(
      fixturePath("base-models/neox-parallel"),
      fixturePath("checkpoints/adapters_d32_zip.pt"),
    );
    const adapted = await Model.load(
      await testGpu(),
      { ...files, ...byteTokenizer(), name: "base" },
      { slots: 1, promptRows: 64 },
    );
    await files.close();
    const base = await startServer(adapted);
    try {
      const { status, body } = await retrieve(WANTED, base.url);
      expect([status, body.error]).toEqual([200, undefined]);
      expect(v.parse(retrieveResponse, body)).toMatchObject({
        phase_metrics: { phase_coherence: expect.any(Number), plm_coherence: null },
        memory_stats: { pvm_gate_strength: expect.any(Number), plm_coherence: null },
      });
    } finally {
      await base.stop();
    }
  });
});
