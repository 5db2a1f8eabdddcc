// Unpacks Chromium, its libraries, fonts and software renderer into the folder that TMPDIR names: node unpack.mjs
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflate } from "@sparticuz/chromium";

const modules = join(import.meta.dirname, "node_modules");
for (const archive of ["chromium.br", "al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"]) {
  await inflate(join(modules, "@sparticuz/chromium/bin", archive));
}
// The package's own configuration names folders of Lambda and a cache in /tmp.
await writeFile(
  join(tmpdir(), "fonts/fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(tmpdir(), "fonts")}</dir>
  <cachedir>${join(tmpdir(), "fonts-cache")}</cachedir>
</fontconfig>
`,
);
await rm(modules, { recursive: true });
