// Jira's dbconfig.xml: the database by its JDBC URL or by a data source of Tomcat; and filestore-config.xml, by which Data
// Center keeps attachments in an object storage.
import { cannot } from '../../lib/errors.ts';
import type { WrittenCredentials } from './atlassian.ts';
import type { HostView } from './host-view.ts';
import { allElements, parseXml, type XmlElement } from './xml.ts';

export interface JiraConfiguration {
  /** The schema of its tables; undefined: the account's own default. */
  schema: string | undefined;
  /** Undefined where a data source has them. */
  credentials: WrittenCredentials | undefined;
  /** `java:comp/env/jdbc/JiraDS` */
  dataSource: string | undefined;
}

const childOf = (element: XmlElement | undefined, name: string): XmlElement | undefined =>
  element?.children.find((child) => child.name === name);
const textOf = (element: XmlElement | undefined, name: string): string | undefined =>
  childOf(element, name)?.text.trim() || undefined;

/** @throws application-configuration where the file can't be read, or names no database */
export function readJiraConfiguration(view: HostView, file: string): JiraConfiguration {
  const root = parseXml(view.readText(file), file);
  const jdbc = childOf(root, 'jdbc-datasource');
  const url = textOf(jdbc, 'url');
  const dataSource = textOf(childOf(root, 'jndi-datasource'), 'jndi-name');
  if (url === undefined && dataSource === undefined) {
    throw cannot('application-configuration', 'read configuration', file, 'it names no database', {
      hint: 'finish the setup of Jira in the browser first',
    });
  }
  const credentials: WrittenCredentials | undefined =
    url === undefined
      ? undefined
      : {
          file,
          url,
          user: textOf(jdbc, 'username'),
          // spaces may belong to it
          password: childOf(jdbc, 'password')?.text ?? '',
          cipher: textOf(jdbc, 'atlassian-password-cipher-provider'),
        };
  return { schema: textOf(root, 'schema-name'), credentials, dataSource };
}

/**
 * @param file filestore-config.xml; need not exist
 * @returns what Jira keeps in an object storage, by the bucket's name: `attachments`, `avatars`
 */
export function readFileStores(view: HostView, file: string): Map<string, string> {
  const targets = new Map<string, string>();
  if (!view.exists(file)) return targets;
  const elements = [...allElements(parseXml(view.readText(file), file))];
  for (const { name, attributes } of elements) {
    if (name !== 'association') continue;
    const store = elements.find(
      (one) => one.name === 's3-filestore' && one.attributes.id === attributes['file-store'],
    );
    const bucket = textOf(childOf(store, 'config'), 'bucket-name') ?? attributes['file-store'] ?? '';
    targets.set(attributes.target ?? '', bucket);
  }
  return targets;
}
