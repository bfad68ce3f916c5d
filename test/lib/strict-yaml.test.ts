// Configuration in YAML and JSON: what is wrong is one error with file and line, and quotes nothing of the file.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { GarnerError } from '../../lib/errors.ts';
import { parseJson, parseYaml } from '../../lib/strict-yaml.ts';

const schema = z.strictObject({
  key: z.string(),
  items: z.array(z.strictObject({ name: z.string(), flag: z.boolean().optional() })),
});
const options = { file: '/x/file', schema, hint: 'see the docs' };

function errorOf(read: () => unknown): string {
  try {
    return `read: ${JSON.stringify(read())}`;
  } catch (error) {
    expect(error).toBeInstanceOf(GarnerError);
    expect(error).toMatchObject({ code: 'configuration', hint: expect.any(String) });
    return (error as GarnerError).message.replace('cannot use "/x/file": ', '');
  }
}

describe('parseJson', () => {
  it.each([
    [
      'a bracket that is missing',
      '{\n"key": "canary",\n"items": [\n {"name": "x"}\n\n}\n',
      'line 6: it is no JSON',
    ],
    ['a comma too many', '{\n"key": "canary",\n"items": [\n {"name": "x"},\n]}', 'line 5: it is no JSON'],
    ['a comma that is missing', '{\n"key": "canary"\n"items": []}', 'line 3: it is no JSON'],
    ['a comment', '{\n// canary\n"key": "x", "items": []}', 'line 2: it is no JSON'],
    ['single quotes', "{\n'key': 'canary', \"items\": []}", 'line 2: it is no JSON'],
    ['a line break in a string', '{"key": "canary\n", "items": []}', 'line 1: it is no JSON'],
    ['something behind it', '{"key": "canary", "items": []}\n}', 'line 2: it is no JSON'],
    [
      'an end that is missing',
      '{\n"key": "canary",\n"items": []\n\n',
      'line 3: it ends too early: a bracket or brace is missing',
    ],
    ['nothing', '', 'line 1: it ends too early: a bracket or brace is missing'],
    ['depth without end', '['.repeat(200_000), 'line 1: it is no JSON'],
    ['a key given twice', '{"key": "x",\n"key": "canary", "items": []}', 'line 2: a key is given twice'],
    [
      'an unknown key',
      '{"key": "x", "items": [\n{"name": "x",\n"flagg": "canary"}]}',
      'line 3: items.0.flagg: unknown key',
    ],
    ['a wrong kind', '{"key": "x", "items": [\n{"name":\n7}]}', 'line 2: items.0.name: it must be string'],
    ['a missing key', '{"key": "x", "items": [\n{"flag": true}]}', 'line 2: items.0.name: it is missing'],
    [
      'a key that objects hide',
      '{"key": "x",\n"__proto__": {}, "items": []}',
      'line 2: a key is no plain word',
    ],
    ['another shape', '[]', 'line 1: it is no list of keys and values'],
  ])('names the line of %s', (_, text, problem) => {
    expect(errorOf(() => parseJson(text, options))).toBe(problem);
  });

  it('reads what JSON.parse reads: tabs, escapes, numbers, CRLF', () => {
    const text = '{\t"key":\t"\\u00e4\\n\\/\\"",\r\n\t"items": [\t{"name":\t"b\\\\"}\r\n]\t}\r\n';
    expect(parseJson(text, options)).toEqual(JSON.parse(text));
    const numbers = '{"a": [0, -1, 1.5e-3, 1E9, true, false, null]}';
    expect(parseJson(numbers, { ...options, schema: z.any() })).toEqual(JSON.parse(numbers));
  });
});

describe('parseYaml', () => {
  it.each([
    ['a tab', 'items:\n\t- name: canary', 'line 2: it is indented by a tab'],
    ['no YAML', 'key: "canary', 'line 1: it is no YAML'],
    ['an unknown key', 'key: x\nkye: canary\nitems: []', 'line 2: kye: unknown key'],
    ['an alias', 'key: &a x\nitems:\n  - name: *a', 'line 3: it has an alias (*name)'],
    ['a number for a text', 'items: []\nkey: 7', 'line 2: key: it must be string'],
  ])('names the line of %s', (_, text, problem) => {
    expect(errorOf(() => parseYaml(text, options))).toBe(problem);
  });
});
