// `npm run answers`: not a part of the tests, which compare the same answers, but one engine at a time.
import config from "../../vitest.config.ts";

export default {
  ...config,
  test: {
    ...config.test,
    include: ["test/side-by-side/answers-table.ts"],
    disableConsoleIntercept: true,
    testTimeout: 1_800_000,
  },
};
