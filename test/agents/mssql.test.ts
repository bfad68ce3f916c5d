// The mssql agent: the contract, with a sqlcmd that behaves as its documentation says.
import { agentContract } from '../contract/agent-contract.ts';
import { makeMssql } from '../helpers/mssql.ts';

const PASSWORD = `canary &%40"\\$#;x`;

agentContract('mssql', 'all databases of a server', async (directory) => {
  const mssql = makeMssql(directory, PASSWORD);
  mssql.change((server) => {
    server.databases = { 'a]p': { 'dbo.users': ['räksmörgås'] } };
  });
  return {
    settings: { MSSQL_USER: 'backup', MSSQL_PASSWORD: PASSWORD, MSSQL_DATABASES: 'a]p' },
    env: mssql.env,
    places: [],
    members: ['a_p.dump'],
    dumpFileSuffix: 'bak',
    version: /^16\.0\.4135\.4$/,
    secrets: [PASSWORD],
    treeFind: {},
    dumpDatabases: async () => JSON.stringify(mssql.read().databases),
    wipe: async () =>
      mssql.change((server) => {
        server.databases = {};
      }),
    broken: { settings: { MSSQL_PASSWORD: 'wrong' }, error: /Login failed/ },
    remove: async () => {},
  };
});
