// Apache Kafka without Docker: jars from Maven Central in a cache folder, and what makes a broker start quickly.
// test-integration/servers/kafka-jars.ts reads `ready.json`, which is written last.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
const LOG4J = 'org.apache.logging.log4j';
const START_MS = 90_000;

/** By version: what logs beside the broker itself, and how little. */
const RELEASES = {
  '4.1.1': {
    logging: [
      [LOG4J, 'log4j-api', '2.24.3'],
      [LOG4J, 'log4j-core', '2.24.3'],
      [LOG4J, 'log4j-slf4j-impl', '2.24.3'],
    ],
    logFile: 'log4j2.xml',
    logFlag: '-Dlog4j2.configurationFile={folder}/log4j2.xml',
    logText: `<Configuration status="ERROR"><Appenders><Console name="C" target="SYSTEM_OUT"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1} %m%n"/></Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers></Configuration>
`,
  },
  '3.9.1': {
    logging: [
      ['ch.qos.reload4j', 'reload4j', '1.2.25'],
      ['org.slf4j', 'slf4j-reload4j', '1.7.36'],
    ],
    logFile: 'log4j.properties',
    logFlag: '-Dlog4j.configuration=file:{folder}/log4j.properties',
    logText: `log4j.rootLogger=WARN, C
log4j.appender.C=org.apache.log4j.ConsoleAppender
log4j.appender.C.layout=org.apache.log4j.PatternLayout
log4j.appender.C.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n
`,
  },
};

/** Where jars are kept between runs. */
function folderOf(version) {
  const cache = process.env.OUTLAST_CACHE || path.join(os.homedir(), '.cache', 'outlast');
  return path.join(cache, `kafka-${version}`);
}

/** Whether a broker of this version could be started at once. */
export function kafkaPresent(version) {
  try {
    const { java } = JSON.parse(fs.readFileSync(path.join(folderOf(version), 'ready.json')));
    return fs.existsSync(java);
  } catch {
    return false;
  }
}

/** Whether there is what it takes to make it present: Java 17 or newer, and Maven. */
export function kafkaTools() {
  return findJava() !== undefined && findMaven() !== undefined;
}

/** Fetches the jars, formats a data folder, and records the classes of a start. `run` rejects if a command fails. */
export async function prepareKafka(version, { run, say }) {
  const java = findJava();
  const maven = findMaven();
  const folder = folderOf(version);
  const release = RELEASES[version];
  fs.mkdirSync(folder, { recursive: true });
  const scratch = fs.mkdtempSync(path.join(folder, '.making-'));
  try {
    const libs = path.join(folder, 'libs');
    if (!fs.existsSync(libs)) {
      say(`fetching Kafka ${version} from Maven Central, once, into ${folder}`);
      fs.writeFileSync(path.join(scratch, 'pom.xml'), pom(version, release.logging));
      const copied = path.join(scratch, 'libs');
      const flags = ['-DincludeScope=runtime', `-DoutputDirectory=${copied}`];
      await run([maven, '-q', '-B', '-f', path.join(scratch, 'pom.xml'), PLUGIN, ...flags], {
        asOwner: false,
        advice: 'Is Maven Central, or the mirror of your Maven settings, within reach?',
      });
      moveInto(copied, libs);
    }
    fs.writeFileSync(path.join(folder, release.logFile), release.logText);
    const args = [
      '-XX:TieredStopAtLevel=1',
      '-XX:+UseSerialGC',
      release.logFlag,
      '-cp',
      path.join('{folder}', 'libs', '*'),
    ];
    say(`preparing quick starts of Kafka ${version}, once`);
    const properties = await writeProperties(scratch);
    const jvm = args.map((arg) => arg.replace('{folder}', folder));
    if (!fs.existsSync(path.join(folder, 'formatted'))) {
      const id = `A${randomBytes(16).toString('base64url').slice(1, 22)}`;
      const format = ['kafka.tools.StorageTool', 'format', '-t', id, '-c', properties.file];
      await run([java, ...jvm, ...format], { asOwner: false });
      fs.cpSync(path.join(scratch, 'data'), path.join(scratch, 'formatted'), { recursive: true });
      moveInto(path.join(scratch, 'formatted'), path.join(folder, 'formatted'));
    } else
      fs.cpSync(path.join(folder, 'formatted'), path.join(scratch, 'data'), { recursive: true });
    const archive = path.join(scratch, 'classes.jsa');
    await startOnce(java, [`-XX:ArchiveClassesAtExit=${archive}`, ...jvm], properties, scratch);
    fs.renameSync(archive, path.join(folder, 'classes.jsa'));
    const ready = {
      version,
      java,
      args: ['-XX:SharedArchiveFile={folder}/classes.jsa', ...args],
    };
    fs.writeFileSync(path.join(scratch, 'ready.json'), `${JSON.stringify(ready, null, 2)}\n`);
    fs.renameSync(path.join(scratch, 'ready.json'), path.join(folder, 'ready.json'));
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** Unless another process was quicker. */
function moveInto(from, to) {
  try {
    fs.renameSync(from, to);
  } catch (error) {
    if (!fs.existsSync(to)) throw error;
  }
}

function pom(version, logging) {
  const dependencies = [['org.apache.kafka', 'kafka_2.13', version], ...logging].map(
    ([group, artifact, of]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${of}</version></dependency>`,
  );
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>outlast</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
${dependencies.join('\n')}
</dependencies></project>
`;
}

async function writeProperties(folder) {
  const [port, controller] = await Promise.all([freePort(), freePort()]);
  const file = path.join(folder, 'server.properties');
  fs.writeFileSync(
    file,
    `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${path.join(folder, 'data')}
offsets.topic.replication.factor=1
`,
  );
  return { file, port };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** A broker from start to a good end. */
async function startOnce(java, args, { file, port }, folder) {
  const log = fs.openSync(path.join(folder, 'broker.log'), 'w');
  const child = spawn(java, ['-Xmx384m', ...args, 'kafka.Kafka', file], {
    cwd: folder,
    stdio: ['ignore', log, log],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    const ended = once(child, 'exit');
    ended.catch(() => {});
    const deadline = Date.now() + START_MS;
    while (!(await answers(port))) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
        const text = fs.readFileSync(path.join(folder, 'broker.log'), 'utf8');
        throw new Error(`Kafka did not start.\n${text.split('\n').slice(-15).join('\n')}`);
      }
      await sleep(100);
    }
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(START_MS, undefined, { ref: false })]);
  } finally {
    kill();
    process.removeListener('exit', kill);
    fs.closeSync(log);
  }
}

/** ApiVersions: an open port is too early. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const settle = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(2_000, () => settle(false));
    socket.once('connect', () => socket.write(Buffer.from('0000000a0012000000000001ffff', 'hex')));
    socket.once('data', () => settle(true));
    socket.once('error', () => settle(false));
    socket.once('end', () => settle(false));
  });
}

function findJava() {
  const kegs = ['/opt/homebrew/opt/openjdk/bin', '/usr/local/opt/openjdk/bin'];
  const home = process.env.JAVA_HOME ? [path.join(process.env.JAVA_HOME, 'bin')] : [];
  return places([...home, ...kegs], 'java').find((program) => {
    const { stderr } = spawnSync(program, ['-version'], { encoding: 'utf8', timeout: 20_000 });
    return Number(/version "(\d+)/.exec(stderr ?? '')?.[1]) >= 17;
  });
}

function findMaven() {
  return places(['/opt/homebrew/bin', '/usr/local/bin'], 'mvn')[0];
}

function places(more, name) {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/bin', ...more];
  return [...new Set(folders)]
    .map((folder) => path.join(folder, name))
    .filter((program) => path.isAbsolute(program) && fs.existsSync(program));
}
