// The last line of a test run, for machines: `N passed, N failed`. What broke outside any test counts as failed.
import type { Reporter } from 'vitest/node';

export default class ClosingLine implements Reporter {
  onTestRunEnd: NonNullable<Reporter['onTestRunEnd']> = (modules, unhandledErrors) => {
    const states = modules.flatMap((module) =>
      [...module.children.allTests()].map((test) => test.result().state),
    );
    const count = (wanted: string): number => states.filter((state) => state === wanted).length;
    const broken = modules.reduce((sum, module) => sum + module.errors().length, unhandledErrors.length);
    const skipped = count('skipped');
    const line = `${count('passed')} passed, ${count('failed') + broken} failed`;
    // the summary before it is written by another reporter, perhaps asynchronously
    setImmediate(() => process.stdout.write(`${line}${skipped > 0 ? `, ${skipped} skipped` : ''}\n`));
  };
}
