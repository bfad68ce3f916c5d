// The ldap agent: the contract with real tools of OpenLDAP.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { agentContract } from '../contract/agent-contract.ts';
import { ENTRIES, makeSlapd } from '../helpers/slapd.ts';

agentContract('ldap', 'a directory', async (directory) => {
  const slapd = await makeSlapd(directory);
  await slapd.add(ENTRIES);
  return {
    settings: { LDAP_CONFIG: slapd.config },
    places: [slapd.config],
    members: ['dc_example_dc_org.dump', 'config.tar', 'config.list'],
    dumpFileSuffix: 'ldif',
    version: /^2\.\d+\./,
    secrets: ['canary-ldap', 'canary-entry'],
    treeFind: { config: [slapd.config, '.'] },
    dumpDatabases: () => slapd.dump(),
    async wipe() {
      for (const path of [slapd.config, slapd.data]) rmSync(path, { recursive: true, force: true });
    },
    broken: { settings: { LDAP_CONFIG: join(directory, 'absent') }, error: /absent": no such file/ },
    remove: async () => {},
  };
});
