// Judges recorded Azure Resource Manager exchanges by Microsoft's own documents with Microsoft's own validator (oav).
//
//   node judge_arm.js SPECS WORK WHOSE EXCHANGES...
//
// SPECS is the folder that holds `specification/`, WORK a scratch folder. WHOSE is `ours` or `theirs`: whether the product itself
// must have taken part. Prints a count for each operation and every finding; exits 1 on any finding, and when nothing was there to
// judge.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const rules = require('./arm_rules.js');

const DNS = 'specification/dns/resource-manager/Microsoft.Network/stable/2018-05-01/dns.json';
const PATTERNS = [
  'specification/network/resource-manager/Microsoft.Network/stable/2024-01-01/*.json',
  DNS,
  'specification/resources/resource-manager/Microsoft.Resources/stable/2022-09-01/resources.json',
  'specification/compute/resource-manager/Microsoft.Compute/ComputeRP/stable/2024-03-01/virtualMachine.json',
];

// What oav calls an operation that it does not know.
const UNKNOWN_OPERATION = 'unknownOperationId';

class Judge {
  static async create(specs, work) {
    const judge = new Judge();
    judge.validator = await load(specs, PATTERNS);
    judge.listValidator = await load(withoutRecordTypeList(specs, work), [DNS]);
    return judge;
  }

  /** `{ operation, findings }` of one exchange. */
  async judge(exchange) {
    const findings = rules.check(exchange);
    const { uncovered, version, ambiguous } = rules.classify(exchange);
    if (uncovered) {
      return { operation: `(${uncovered.name})`, findings: [...findings, ...uncovered.check(exchange)] };
    }
    const url = new URL(exchange.liveRequest.url);
    const method = exchange.liveRequest.method;
    if (!url.searchParams.has('api-version')) {
      // Refused by Resource Manager before any provider sees it; `rules.check` has judged the refusal.
      const refused = exchange.liveResponse.statusCode === '400';
      return { operation: '(no api-version)', findings: refused ? findings : [...findings, 'answered without an api-version'] };
    }
    if (!version) {
      // A path that no provider registered: the only right answer is ARM's own refusal.
      const refused = ['400', '401', '403', '404', '429'].includes(exchange.liveResponse.statusCode);
      return { operation: '(unknown path)', findings: refused ? findings : [...findings, `no document knows ${method} ${url.pathname}`] };
    }
    url.searchParams.set('api-version', version);
    const verdict = await (ambiguous ? this.listValidator : this.validator).validateLiveRequestResponse({
      liveRequest: { ...exchange.liveRequest, url: url.href, query: Object.fromEntries(url.searchParams) },
      liveResponse: { ...exchange.liveResponse, body: rules.documentedError(exchange) ?? undefined },
    });
    const request = verdict.requestValidationResult;
    if (exchange.liveResponse.statusCode === '405' && request.operationInfo?.operationId === UNKNOWN_OPERATION) {
      // A method that no document has: there is nothing to hold the refusal against but ARM's own shape, which `rules.check` does.
      return { operation: '(unknown method)', findings };
    }
    if (rules.judgesRequest(exchange)) findings.push(...texts('request', request));
    findings.push(...texts('response', verdict.responseValidationResult));
    return { operation: request.operationInfo?.operationId ?? '(unknown operation)', findings };
  }
}

async function load(directory, swaggerPathsPattern) {
  const { LiveValidator } = require('oav');
  const options = { directory, git: { shouldClone: false }, isArmCall: true, loadValidatorInBackground: false, swaggerPathsPattern };
  const validator = new LiveValidator(options, () => {});
  await validator.initialize();
  return validator;
}

/** A copy of the DNS document in which nothing else matches `recordsets` and `all`. */
function withoutRecordTypeList(specs, work) {
  const target = path.join(work, 'recordsets');
  const document = JSON.parse(fs.readFileSync(path.join(specs, DNS), 'utf8').replace(/^\uFEFF/, ''));
  for (const name of Object.keys(document.paths)) {
    if (/\/\{recordType\}$/.test(name)) delete document.paths[name];
    else for (const operation of Object.values(document.paths[name])) delete operation['x-ms-examples'];
  }
  fs.mkdirSync(path.dirname(path.join(target, DNS)), { recursive: true });
  fs.writeFileSync(path.join(target, DNS), JSON.stringify(document));
  return target;
}

// `isSuccessful` is undefined for an unknown path or version, hence `!== true`.
function texts(side, result) {
  if (result.isSuccessful === true) return [];
  const found = result.errors ?? [];
  const errors = found.filter(rules.isFinding).map(error => `${side}: ${error.code} ${[error.pathsInPayload].flat().join(' ')} ${error.message ?? ''}`.trim());
  if (result.runtimeException) errors.push(`${side}: ${result.runtimeException.message.split('\n', 2).join(' ')}`);
  return errors.length > 0 || found.length > 0 ? errors : [`${side}: refused without a reason`];
}

/** Every recorded exchange of `service` under the given folders and files. */
function exchanges(places, service) {
  const files = places.flatMap(place => (fs.statSync(place).isDirectory() ? fs.readdirSync(place, { recursive: true }).map(name => path.join(place, name)) : [place]));
  return files
    .filter(file => file.endsWith('.json'))
    .sort()
    .map(file => ({ file, exchange: JSON.parse(fs.readFileSync(file, 'utf8')) }))
    .filter(({ exchange }) => exchange.service === service);
}

async function main([specs, work, whose, ...places]) {
  const judge = await Judge.create(specs, work);
  const counts = new Map();
  let failed = 0;
  const recorded = exchanges(places, 'arm');
  for (const { file, exchange } of recorded) {
    const { operation, findings } = await judge.judge(exchange);
    const count = counts.get(operation) ?? { passed: 0, failed: 0 };
    counts.set(operation, count);
    if (findings.length === 0) {
      count.passed += 1;
      continue;
    }
    count.failed += 1;
    failed += 1;
    console.log(`${exchange.liveRequest.method} ${exchange.liveRequest.url} -> ${exchange.liveResponse.statusCode} (${file})`);
    for (const finding of findings) console.log(`    ${finding}`);
  }
  for (const [operation, count] of [...counts].sort()) console.log(`  ${operation}: ${count.passed} passed, ${count.failed} failed`);
  console.log(`arm: ${recorded.length - failed} passed, ${failed} failed`);
  const some = recorded.some(({ exchange }) => whose === 'theirs' || rules.isOurs(exchange));
  if (!some) console.log(`arm: nothing of ${whose} was recorded`);
  return failed === 0 && some ? 0 : 1;
}

module.exports = { Judge };

if (require.main === module) {
  main(process.argv.slice(2)).then(
    code => process.exit(code),
    error => {
      console.error(error);
      process.exit(1);
    },
  );
}
