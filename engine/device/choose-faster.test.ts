import { expect, it } from "vitest";
import { chooseFaster } from "./choose-faster.ts";

it("chooses a candidate that is clearly faster, and of two the faster one", () => {
  expect(
    chooseFaster(
      [
        [
          [10, 10, 10],
          [8, 8, 8],
          [7, 7, 7],
        ],
      ],
      0,
    ),
  ).toBe(2);
  expect(
    chooseFaster(
      [
        [
          [8, 8, 8],
          [10, 10, 10],
        ],
      ],
      1,
    ),
  ).toBe(0);
});

it("keeps the usual one if the gain is less than 5 %, or not in three samples of four", () => {
  expect(
    chooseFaster(
      [
        [
          [10, 10, 10],
          [9.6, 9.6, 9.6],
        ],
      ],
      0,
    ),
  ).toBe(0);
  expect(
    chooseFaster(
      [
        [
          [10, 10, 10, 10, 10],
          [9, 9, 9, 11, 11],
        ],
      ],
      0,
    ),
  ).toBe(0);
  expect(
    chooseFaster(
      [
        [
          [10, 10, 10, 10, 10],
          [9, 9, 9, 9, 11],
        ],
      ],
      0,
    ),
  ).toBe(1);
});

it("compares samples that were taken at the same time, so that a change of load chooses nothing", () => {
  // The machine became three times slower; the second candidate was slower throughout.
  expect(
    chooseFaster(
      [
        [
          [10, 30, 30],
          [11, 33, 33],
        ],
      ],
      0,
    ),
  ).toBe(0);
  expect(
    chooseFaster(
      [
        [
          [10, 30, 30],
          [9, 27, 27],
        ],
      ],
      0,
    ),
  ).toBe(1);
});

it("weighs all comparisons alike", () => {
  const faster = [
    [10, 10, 10],
    [8, 8, 8],
  ];
  const slower = [
    [10, 10, 10],
    [14, 14, 14],
  ];
  expect(chooseFaster([faster, slower], 0)).toBe(0);
  expect(chooseFaster([faster, faster, slower], 0)).toBe(0);
  expect(
    chooseFaster(
      [
        faster,
        [
          [1, 1, 1],
          [1, 1, 1],
        ],
      ],
      0,
    ),
  ).toBe(1);
});
