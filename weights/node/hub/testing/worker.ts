import { fetchFromHub } from "../fetch.ts";

// Runs as a process of its own: `worker REPO FILE…` fetches files and prints the folder.
const [repo = "", ...files] = process.argv.slice(2);
process.stdout.write(await fetchFromHub({ repo, files }));
