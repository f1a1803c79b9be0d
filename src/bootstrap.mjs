// SPDX-License-Identifier: Apache-2.0
/**
 * Puts in place what a purpose needs, then runs it: `node src/bootstrap.mjs lab|test|cli|bench|fuzz|generate|check`.
 * This file runs under whatever Node the machine has (18 or later) and uses nothing but Node itself;
 * everything else runs under the Node of package-lock.json. Silent when nothing is missing.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cache = join(root, '.cache')
const bin = join(root, 'node_modules', '.bin')
const logFile = join(cache, 'bootstrap.log')
const progress = process.stderr

/** Debian packages by what needs them; `a|b` is the first that the release has. */
const PACKAGES = {
  build: ['g++', 'clang-14|clang', 'libbpf-dev'],
  run: ['iproute2', 'nftables'],
  /** Daemons that the gateway supervises where the configuration asks for them. */
  services: ['radvd>=2.20', 'udhcpc'],
  test: [
    ...['bind9-dnsutils', 'curl', 'ethtool', 'git', 'iperf3', 'iputils-ping'],
    ...['libbpf-dev', 'procps', 'python3-scapy', 'tcpdump', 'traceroute', 'tshark', 'udhcpd'],
  ],
  /** The virtual machine, whose own packages mmdebstrap fetches. */
  vm: ['e2fsprogs', 'mmdebstrap', 'qemu-system-x86'],
  /** libFuzzer and the sanitizers; clang also compiles the core for BPF in the tests. */
  fuzz: ['clang-14|clang', 'libclang-rt-14-dev|libclang-rt-dev'],
  bench: ['dnsperf', 'ethtool', 'iperf3', 'iputils-ping', 'procps', 'tayga', 'unbound'],
}

const PURPOSES = {
  lab: { needs: ['build', 'run'], script: ['src/main.ts', 'lab'] },
  test: { needs: ['build', 'run', 'services', 'test', 'fuzz', 'vm'], script: ['test/run.ts'] },
  bench: { needs: ['build', 'run', 'bench', 'vm'], script: ['test/bench/run.ts'] },
  fuzz: { needs: ['build', 'fuzz'], script: ['test/fuzz/run.ts'] },
  cli: { needs: [], script: ['src/main.ts'] },
  generate: { needs: [], script: ['src/config/generate.ts'] },
  check: { needs: ['build'], script: ['test/run.ts', '--checks'] },
}

class Stop extends Error {}

// ── telling ─────────────────────────────────────────────────────────────────

/** A step that is told: a live line on a terminal, one line at each end otherwise. `quiet` delays the telling. */
async function step(title, work, { quiet = false } = {}) {
  const started = Date.now()
  const live = progress.isTTY
  let detail = ''
  let told = false
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`
  const draw = () => {
    if (live) progress.write(`\r\x1b[K  ${'◐◓◑◒'[Math.floor(Date.now() / 250) % 4]} ${title}  ${seconds()}  ${detail}`)
    else if (!told) progress.write(`sixgate: ${title} …\n`)
    told = true
  }
  const later = setTimeout(draw, quiet ? 700 : 0)
  const timer = live ? setInterval(() => told && draw(), 250) : undefined
  const finish = (mark) => {
    clearTimeout(later)
    clearInterval(timer)
    if (!told) return
    progress.write(live ? `\r\x1b[K  ${mark} ${title}  ${seconds()}\n` : `sixgate: ${title}: ${mark}, ${seconds()}\n`)
  }
  try {
    const result = await work((text) => {
      detail = text.slice(0, Math.max(0, (progress.columns ?? 80) - title.length - 20))
    })
    finish(live ? '✓' : 'done')
    return result
  } catch (error) {
    finish(live ? '✗' : 'failed')
    throw error
  }
}

/** The command that runs now. */
let running
let interrupted = false

/**
 * Waits for the command, which would go on without us. SIGINT whatever came: apt-get heeds it in a download and
 * ignores it while dpkg works, which must not be cut short. npm passes Ctrl-C on, so it comes more than once.
 */
function interrupt() {
  if (!running) process.exit(130)
  if (!interrupted) progress.write(`\nsixgate: stops as soon as ${running.spawnfile} has\n`)
  interrupted = true
  running.kill('SIGINT')
}

/** Runs a command into the log; on failure its last lines are the error. */
function run(command, args, { env = {}, onStatus } = {}) {
  return new Promise((resolve, reject) => {
    appendFileSync(logFile, `\n$ ${command} ${args.join(' ')}\n`)
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    })
    running = child
    let tail = ''
    const keep = (chunk) => {
      appendFileSync(logFile, chunk)
      tail = (tail + chunk).slice(-4000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.stdio[3].on('data', (chunk) => onStatus?.(String(chunk)))
    child.on('error', (error) => reject(new Stop(`${command} cannot be started: ${error.message}`)))
    child.on('close', (code) => {
      running = undefined
      if (interrupted) return reject(new Stop('interrupted'))
      if (code === 0) return resolve(tail)
      const lines = tail.trim().split('\n').slice(-15).join('\n')
      reject(new Stop(`${command} failed (exit ${code}); all of it is in ${logFile}\n${lines}`))
    })
  })
}

// ── Debian packages ─────────────────────────────────────────────────────────

/** Versions of installed packages by name. */
function installed(names) {
  const answer = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status} ${Version}\n', ...names], {
    encoding: 'utf8',
  })
  const found = new Map()
  for (const line of (answer.stdout ?? '').split('\n')) {
    const [name, status, version] = line.split(' ')
    if (status === 'installed') found.set(name, version)
  }
  return found
}

function atLeast(version, wanted) {
  return spawnSync('dpkg', ['--compare-versions', version.replace(/^\d+:/, ''), 'ge', wanted]).status === 0
}

/** `radvd>=2.20` and `a|b` as `{ names, version }`. */
function parseNeed(need) {
  const [names, version] = need.split('>=')
  return { names: names.split('|'), version }
}

function missingPackages(groups) {
  const needs = groups.flatMap((group) => PACKAGES[group]).map(parseNeed)
  const have = installed(needs.flatMap((need) => need.names))
  return needs.filter(
    (need) => !need.names.some((name) => have.has(name) && (!need.version || atLeast(have.get(name), need.version))),
  )
}

function candidate(name) {
  const answer = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
  // a name that apt does not know is a pattern to it
  if (!answer.stdout?.startsWith(`${name}:\n`)) return undefined
  const version = /Candidate: (\S+)/.exec(answer.stdout)?.[1]
  return version === '(none)' ? undefined : version
}

const BACKPORTS = '/etc/apt/sources.list.d/sixgate-backports.sources'

/** Debian 12's radvd cannot send PREF64 (RFC 8781); the one of its backports can. */
function addBackports(suite) {
  progress.write(`sixgate: adding ${BACKPORTS} (${suite}-backports), for radvd 2.20 or later\n`)
  writeFileSync(
    BACKPORTS,
    [
      '# Written by sixgate: router advertisements with PREF64 need radvd 2.20 or later.',
      'Types: deb',
      'URIs: http://deb.debian.org/debian',
      `Suites: ${suite}-backports`,
      'Components: main',
      'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
      '',
    ].join('\n'),
  )
}

function debianSuite() {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  return /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1] ?? 'unknown'
}

/** A package's services must not start by being installed: this machine may serve its own names on port 53. */
async function withoutServices(work) {
  const policy = '/usr/sbin/policy-rc.d'
  const mark = '# Written by sixgate while it installs packages.'
  // one with our mark is what a killed run has left
  const ours = !existsSync(policy) || readFileSync(policy, 'utf8').includes(mark)
  const remove = () => ours && rmSync(policy, { force: true })
  if (ours) {
    writeFileSync(policy, `#!/bin/sh\n${mark}\nexit 101\n`, { mode: 0o755 })
    process.once('exit', remove)
  }
  try {
    return await work()
  } finally {
    remove()
    process.off('exit', remove)
  }
}

const aptOptions = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=600', '-o', 'APT::Status-Fd=3']
const aptEnv = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8', NEEDRESTART_SUSPEND: '1' }

async function aptGet(args, tell) {
  const onStatus = (text) => {
    const last = /^(?:dl|pm)status:[^:]*:([\d.]+):(.*)$/m.exec(text.trim().split('\n').at(-1) ?? '')
    if (last) tell(`${Math.round(Number(last[1]))} % ${last[2]}`)
  }
  return run('apt-get', [...aptOptions, ...args], { env: aptEnv, onStatus })
}

async function installPackages(missing, purpose) {
  const wanted = missing.map(({ names }) => names.find(candidate) ?? names[0]).join(' ')
  if (spawnSync('apt-get', ['--version']).error)
    throw new Stop(`missing: ${wanted}; this machine has no apt-get: use Debian 12 or 13, or install them by hand`)
  if (process.getuid?.() !== 0)
    throw new Stop(`missing: ${wanted}; only root can install them: run this as root, or \`apt-get install ${wanted}\``)
  const told = await step('Reading the package lists', (tell) => aptGet(['update'], tell))
  // apt-get succeeds with old lists or none when it reaches no server
  const unread = /^W: Failed to fetch (.+)$/m.exec(told)?.[1]
  const suite = debianSuite()
  const lacks = (need) => {
    const version = candidate(need.names[0])
    return need.version && !(version && atLeast(version, need.version))
  }
  const fromBackports = missing.filter(lacks)
  if (fromBackports.length > 0 && suite === 'bookworm' && !existsSync(BACKPORTS)) {
    addBackports(suite)
    const only = [
      '-o',
      `Dir::Etc::sourcelist=${BACKPORTS}`,
      '-o',
      'Dir::Etc::sourceparts=-',
      '-o',
      'APT::Get::List-Cleanup=0',
    ]
    await step('Reading the backports list', (tell) => aptGet([...only, 'update'], tell))
  }
  const names = missing.map((need) => {
    const name = need.names.find((each) => candidate(each))
    const remedy = unread ? `they could not be read (${unread}): check the network` : 'check /etc/apt'
    if (!name) throw new Stop(`${need.names.join(' or ')} is not in the package lists of ${suite}; ${remedy}`)
    return suite === 'bookworm' && fromBackports.includes(need) ? `${name}/${suite}-backports` : name
  })
  await step(`Installing for ${purpose}: ${names.join(' ')}`, (tell) =>
    withoutServices(() => aptGet(['install', '--no-install-recommends', ...names], tell)),
  )
  keepDisabled(names)
}

/** What was installed for a test must not start at the next boot either. */
function keepDisabled(names) {
  const services = { radvd: 'radvd', unbound: 'unbound', tayga: 'tayga', iperf3: 'iperf3' }
  for (const name of names.map((each) => each.split('/')[0])) {
    const unit = services[name]
    if (unit && existsSync('/run/systemd/system')) spawnSync('systemctl', ['disable', '--now', unit])
  }
}

// ── Node and its packages ───────────────────────────────────────────────────

const lockHash = () =>
  createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
const modulesStamp = join(root, 'node_modules', '.sixgate-lock')

function modulesCurrent() {
  return existsSync(join(bin, 'node')) && existsSync(modulesStamp) && readFileSync(modulesStamp, 'utf8') === lockHash()
}

/** Under Debian 12's own Node npm skips optional binaries without a word, so the right Node comes first. */
async function installModules() {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const runtime = `node-linux-${process.arch}`
  const version = optionalDependencies[runtime]
  if (!version) throw new Stop(`there is no ${runtime} package: sixgate runs on x64 and arm64`)
  if (spawnSync('npm', ['--version']).error)
    throw new Stop('npm is missing: install it (Debian: `apt-get install npm`) and run this again')
  const prefix = join(cache, 'node24')
  const node = join(prefix, 'node_modules', '.bin', 'node')
  const current = spawnSync(node, ['--version'], { encoding: 'utf8' })
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier']
  if (current.status !== 0 || current.stdout.trim() !== `v${version}`)
    await step(`Installing Node ${version}`, () =>
      run('npm', ['install', '--prefix', prefix, '--no-save', '--no-package-lock', ...quiet, `${runtime}@${version}`]),
    )
  const PATH = `${dirname(node)}:${process.env.PATH}`
  await step('Installing npm packages', () =>
    run('npm', ['ci', '--include=dev', '--include=optional', ...quiet], { env: { PATH } }),
  )
  linkNode(runtime)
  writeFileSync(modulesStamp, lockHash())
}

/** npm 9 (Debian 12 and 13) installs the runtime but leaves out its link in .bin. */
function linkNode(runtime) {
  const link = join(bin, 'node')
  const target = join('..', runtime, 'bin', 'node')
  if (!existsSync(join(bin, target))) throw new Stop(`npm ci brought no ${runtime}; see ${logFile}`)
  if (!existsSync(link)) symlinkSync(target, link)
}

async function build() {
  await step('Building the translator', () => run(join(bin, 'node'), ['native/build.mjs']), { quiet: true })
}

// ── one at a time ───────────────────────────────────────────────────────────

function alive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Two terminals may start at once in a fresh checkout; npm ci must run once. */
async function locked(work) {
  const lock = join(cache, 'bootstrap.lock')
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw new Stop(`${cache} cannot be written: ${error.message}`)
      const holder = Number(existsSync(lock) ? readFileSync(lock, 'utf8') : 0)
      if (holder > 0 && alive(holder)) await new Promise((resolve) => setTimeout(resolve, 200))
      else rmSync(lock, { force: true })
    }
  }
  const release = () => rmSync(lock, { force: true })
  process.once('exit', release)
  try {
    return await work()
  } finally {
    release()
    process.off('exit', release)
  }
}

// ── the purpose ─────────────────────────────────────────────────────────────

/** The CLI's subcommands that open the data plane need the system's tools; the others need Node alone. */
function needsOf(name, args) {
  if (name === 'cli' && ['run', 'lab'].includes(args[0]))
    return args[0] === 'lab' ? PURPOSES.lab.needs : [...PURPOSES.lab.needs, 'services']
  return PURPOSES[name].needs
}

async function prepare(name, args) {
  const needs = needsOf(name, args)
  const missing = needs.length > 0 ? missingPackages(needs) : []
  const builds = needs.includes('build') && existsSync(join(root, 'native', 'build.mjs'))
  if (missing.length === 0 && modulesCurrent() && !builds) return
  mkdirSync(cache, { recursive: true })
  await locked(async () => {
    if (missing.length > 0) await installPackages(missing, name)
    if (!modulesCurrent()) await installModules()
    if (builds) await build()
  })
}

/** Runs the purpose as if it had been started itself: its exit code, its signals. */
function become(script, args, cwd) {
  const child = spawn(join(bin, 'node'), [join(root, script[0]), ...script.slice(1), ...args], {
    cwd,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    progress.write(`sixgate: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (!signal) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

const [name, ...args] = process.argv.slice(2)
if (!Object.hasOwn(PURPOSES, name ?? '')) {
  progress.write(`usage: node src/bootstrap.mjs ${Object.keys(PURPOSES).join('|')} [ARGUMENT…]\n`)
  process.exit(2)
}
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
for (const signal of signals) process.on(signal, interrupt)
try {
  await prepare(name, args)
  if (interrupted) process.exit(130)
  for (const signal of signals) process.off(signal, interrupt)
  // A file named on the command line is meant as seen from where npm was called.
  become(PURPOSES[name].script, args, name === 'cli' ? (process.env.INIT_CWD ?? process.cwd()) : root)
} catch (error) {
  if (!(error instanceof Stop)) throw error
  progress.write(`sixgate: ${error.message}\n`)
  process.exit(interrupted ? 130 : 1)
}
