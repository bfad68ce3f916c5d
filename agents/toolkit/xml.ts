// Reads configuration that is XML, 1.0 or 1.1, as strictly as the applications' own parsers do. Document types, and with
// them entities of their own, are refused: no configuration here has one, and they are how XML attacks its readers.
import { SaxesParser } from 'saxes';
import { cannot, type GarnerError } from '../../lib/errors.ts';

const MAX_DEPTH = 100;

export interface XmlElement {
  name: string;
  attributes: Record<string, string>;
  children: XmlElement[];
  /** Its own text, without that of its children. */
  text: string;
}

/**
 * @param source the file's text
 * @param file its path, for messages; what stands in it is not told, it may be a password
 * @returns the root element
 * @throws application-configuration where it is no well-formed XML, has a document type or is absurdly deep
 */
export function parseXml(source: string, file: string): XmlElement {
  const parser = new SaxesParser();
  const refuse = (problem: string): GarnerError =>
    cannot('application-configuration', 'read configuration', file, `line ${parser.line}: ${problem}`);
  const document: XmlElement = { name: '', attributes: {}, children: [], text: '' };
  const open = [document];
  const current = (): XmlElement => open.at(-1) as XmlElement;
  const addText = (text: string): void => {
    current().text += text;
  };

  parser.on('error', () => {
    throw refuse('it is no well-formed XML');
  });
  parser.on('doctype', () => {
    throw refuse('a document type is not read');
  });
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('opentag', ({ name, attributes }) => {
    if (open.length > MAX_DEPTH) throw refuse('it is nested too deep');
    const element: XmlElement = { name, attributes, children: [], text: '' };
    current().children.push(element);
    open.push(element);
  });
  parser.on('closetag', () => {
    open.pop();
  });
  // what was written in another encoding would be a wrong password
  if (source.includes('\uFFFD')) {
    throw cannot('application-configuration', 'read configuration', file, 'it is not written in UTF-8');
  }
  parser.write(source).close();
  return document.children[0] as XmlElement;
}

/** @returns an element and all that are below it, in the order of the file */
export function* allElements(element: XmlElement): Generator<XmlElement> {
  yield element;
  for (const child of element.children) yield* allElements(child);
}
