// What an agent's functions and a backup get, for tests that call them in this process: settings that lead into a bench.
import { join } from 'node:path';
import type { AgentContext, AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { CORE_SETTINGS, loadSettings } from '../../lib/settings.ts';
import type { Bench } from './run.ts';

export function agentContext(
  agent: AgentDefinition,
  bench: Bench,
  settings: Record<string, string> = {},
  signal: AbortSignal = new AbortController().signal,
): AgentContext {
  const table = { ...CORE_SETTINGS, ...agent.settings };
  const env = {
    GARNER_WORK_DIR: bench.workDir,
    GARNER_STATE_DIR: join(bench.directory, 'state'),
    GARNER_RUN_DIR: join(bench.directory, 'run'),
    GARNER_CONFIG_DIR: bench.configDir,
    GARNER_HOST: 'web1.example.org',
    ...settings,
  };
  return { settings: loadSettings(table, { known: table, env }), view: hostView(), signal };
}
