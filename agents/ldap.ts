// OpenLDAP: the configuration of slapd (slapd.d or slapd.conf) as files, and each of its databases.
import { dirname } from 'node:path';
import { readSlapdConfig } from '../databases/toolkit/slapd-config.ts';
import { slapdVersion } from '../databases/toolkit/slapd-tools.ts';
import { cannot } from '../lib/errors.ts';
import { path } from '../lib/settings.ts';
import { type AgentContext, defineAgent } from './toolkit/define-agent.ts';
import { uniqueNames } from './toolkit/sources.ts';

const SETTINGS = {
  LDAP_CONFIG: {
    parse: path,
    default: '/etc/ldap/slapd.d',
    describe: "slapd's configuration: the directory slapd.d, or a slapd.conf",
  },
} as const;

const isFile = ({ settings }: AgentContext<typeof SETTINGS>): boolean => /\.conf$/.test(settings.LDAP_CONFIG);

export default defineAgent({
  application: 'ldap',
  title: 'OpenLDAP',
  testedWith: 'the real thing: OpenLDAP of Debian',
  settings: SETTINGS,

  version: ({ signal }) => slapdVersion(signal),

  databases({ settings, view }) {
    const config = view.locate(settings.LDAP_CONFIG);
    const found = readSlapdConfig(config);
    if (found.length === 0) {
      throw cannot('application-configuration', 'find databases in', settings.LDAP_CONFIG, 'it names none', {
        hint: 'a database has a suffix and a directory; proxies keep nothing here',
      });
    }
    const names = uniqueNames(found.map(({ suffix }) => suffix));
    return found.map(({ suffix }, index) => ({
      name: names[index] as string,
      engine: 'ldap',
      connection: { config, suffix },
    }));
  },

  trees: (context) => {
    const config = context.settings.LDAP_CONFIG;
    return [{ name: 'config', root: context.view.resolve(isFile(context) ? dirname(config) : config) }];
  },

  nextSteps: () => ['systemctl start slapd', 'slaptest -u'],
});
