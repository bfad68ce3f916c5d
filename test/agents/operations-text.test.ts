// The texts of operations: dates in two calendars, what is filled in and what is the shell's, passwords that ps would show.
import { describe, expect, it } from 'vitest';
import { fillIn, formatDate, passwordsIn, withoutPasswords } from '../../agents/toolkit/operations-text.ts';
import { instanceName } from '../../archive/name.ts';

describe('formatDate', () => {
  it('writes local time as year, day, month', () => {
    expect(formatDate(new Date('2022-07-15T15:53:16'), 'gregory')).toBe('2022.15.07-15.53.16');
    expect(formatDate(new Date('2026-01-02T00:04:05'), 'gregory')).toBe('2026.02.01-00.04.05');
  });

  it.each([
    // the year that begins with each spring, and the last days of leap years: 1399, 1403 and 1408 are some
    ['1979-02-11', '1357.22.11'],
    ['2021-03-20', '1399.30.12'],
    ['2021-03-21', '1400.01.01'],
    ['2022-07-15', '1401.24.04'],
    ['2024-03-19', '1402.29.12'],
    ['2024-03-20', '1403.01.01'],
    ['2025-03-20', '1403.30.12'],
    ['2025-03-21', '1404.01.01'],
    ['2029-03-19', '1407.29.12'],
    ['2030-03-20', '1408.30.12'],
  ])('gives %s the Jalali date %s', (day, jalali) => {
    expect(formatDate(new Date(`${day}T12:34:56`), 'persian')).toBe(`${jalali}-12.34.56`);
  });
});

describe('fillIn', () => {
  it('replaces $Name and $Date as text, once, and leaves the rest to the shell', () => {
    const values = { name: 'a $Date', date: 'D' };
    const text = 'x $Name-$Date $Names $cid $4 \x24{Name} $name \\$Date $$Name';
    expect(fillIn(text, values)).toBe('x a $Date-D a $Dates $cid $4 \x24{Name} $name \\D $a $Date');
  });
});

describe('passwordsIn', () => {
  it.each([
    ['mysqldump -u root -pS3cret shop > $Name/shop.sql', ['S3cret']],
    ["docker exec $cid mysqldump -p'two words' shop", ['two words']],
    ['mariadb-dump --password="a b" shop', ['a b']],
    ['PGPASSWORD=canary pg_dump shop', ['canary']],
    ['docker exec -e MYSQL_PWD=canary $cid mysqldump shop', ['canary']],
    ['pg_dump postgres://bob:canary@db/shop', ['canary']],
    ['sqlcmd -S localhost -U SA -P P@ssw0rd -Q "x"', ['P@ssw0rd']],
    ['sqlpackage /x "/p:Server=db;Password=canary;"', ['canary']],
    ['sshpass -pcanary scp a b', ['canary']],
    ['curl -u bob:canary https://x', ['canary']],
    ['mongodump -u bob -p canary --out $Name', ['canary']],
    ['AWS_SECRET_ACCESS_KEY=canary aws s3 sync', ['canary']],
  ])('finds what ps would show in: %s', (command, passwords) => {
    expect(passwordsIn(command)).toEqual(passwords);
    for (const password of passwords) expect(withoutPasswords(command)).not.toContain(password);
    expect(withoutPasswords(command)).toContain('[redacted]');
  });

  it.each([
    'mysqldump -p$PW shop; mkdir -p $Name/x',
    'mysqldump --password="$(cat /etc/pw)" -P 3307 shop',
    'MYSQL_PWD=`cat /etc/pw` mysqldump shop',
    'mysqldump --defaults-file=/etc/garner/my.cnf shop',
    'restic --password-file /etc/pw backup; rsync --password-file=/etc/pw a b',
    'ssh -p 22 host tar c / > $Name/x; cp -p a b',
  ])('finds none in: %s', (command) => {
    expect(passwordsIn(command)).toEqual([]);
    expect(withoutPasswords(command)).toBe(command);
  });
});

describe('instanceName', () => {
  it('keeps what is an instance already, and gives every other name its own', () => {
    expect(instanceName('daily_db')).toBe('daily_db');
    const names = [
      'Daily-DB',
      'daily-db',
      'Daily DB',
      'daily.db',
      'پشتیبان',
      '日本',
      'x'.repeat(100),
      `${'x'.repeat(100)}y`,
    ];
    const instances = names.map(instanceName);
    expect(new Set([...instances, 'daily_db']).size).toBe(names.length + 1);
    for (const instance of instances) expect(instance).toMatch(/^[a-z0-9_]{1,70}$/);
    // nobody can name an operation so that it gets the archives of another
    for (const instance of instances) expect(instanceName(instance)).not.toBe(instance);
    expect(instanceName('Daily-DB')).toBe('daily_db_ebd3302c');
  });
});
