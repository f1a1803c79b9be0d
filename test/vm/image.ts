// SPDX-License-Identifier: Apache-2.0
/**
 * What the test machine boots, made from Debian packages alone and kept under .cache/vm by the hash of its
 * recipe: a root directory (in which kernel modules are built too), the same as a disk image, a kernel, and an
 * initramfs that does no more than mount the disk.
 */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../lab/process.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
export const cache = fileURLToPath(new URL('../../.cache/vm/', import.meta.url))

const SUITE = 'trixie'
const PACKAGES = [
  ...['linux-image-cloud-amd64', 'busybox-static', 'kmod', 'procps', 'python3'],
  ...['conntrack', 'ethtool', 'iperf3', 'iproute2', 'iputils-ping', 'nftables', 'tcpdump'],
  // to build a module for the kernel
  ...['linux-headers-cloud-amd64', 'gcc-14', 'libelf1t64', 'make', 'perl', 'sparse'],
]
/** Nothing reads them in the machine. */
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/zoneinfo/*']

/** Changes with what is done below; the files of this directory that go into the image are hashed themselves. */
const RECIPE = 1

export interface Image {
  readonly directory: string
  /** The root as a directory, to build modules in. */
  readonly root: string
  readonly disk: string
  readonly kernel: string
  readonly initramfs: string
  /** `uname -r` of the machine. */
  readonly release: string
}

function key(): string {
  const hash = createHash('sha256').update(JSON.stringify({ RECIPE, SUITE, PACKAGES, LEFT_OUT }))
  for (const file of ['init', 'agent.py']) hash.update(readFileSync(join(here, file)))
  return hash.digest('hex').slice(0, 16)
}

function describe(directory: string): Image {
  const root = join(directory, 'root')
  const [release = ''] = readdirSync(join(root, 'usr/lib/modules'))
  return {
    ...{ directory, root, release },
    disk: join(directory, 'disk.ext4'),
    kernel: join(root, `boot/vmlinuz-${release}`),
    initramfs: join(directory, 'initramfs.cpio'),
  }
}

/** A command in the root; it sees the root's files and nothing of this machine's. */
export function inRoot(image: Pick<Image, 'root'>, script: string, seconds = 300): Promise<string> {
  const env = { PATH: '/usr/sbin:/usr/bin', HOME: '/root' }
  return run('chroot', [image.root, 'sh', '-ec', script], { timeout: seconds, env })
}

async function makeRoot(root: string): Promise<void> {
  const excludes = LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`)
  const args = ['--quiet', '--mode=root', '--variant=minbase', `--include=${PACKAGES.join(',')}`, ...excludes]
  // the initramfs of the distribution knows all hardware, which takes long to make and to unpack
  await run('mmdebstrap', [...args, SUITE, root], { timeout: 900, env: { INITRD: 'No' } })
}

/** The kernel has ext4 and virtio's PCI and console itself; only the disk's driver is a module. */
async function makeInitramfs({ root, release, initramfs }: Image): Promise<void> {
  const staging = '/initramfs'
  await inRoot(
    { root },
    `rm -rf ${staging}
    mkdir -p ${staging}/bin ${staging}/modules ${staging}/dev ${staging}/proc ${staging}/sys ${staging}/root
    cp /usr/bin/busybox ${staging}/bin/
    cp /usr/lib/sixgate-test/init ${staging}/init
    modprobe -S ${release} --show-depends virtio_blk | while read -r kind path rest; do
      [ "$kind" = insmod ] || continue
      number=$((number + 1))
      busybox xz -dc "$path" > "${staging}/modules/$(printf %02d "$number").ko"
    done
    cd ${staging} && find . | busybox cpio -o -H newc > /initramfs.cpio 2>/dev/null
    rm -rf ${staging}`,
  )
  renameSync(join(root, 'initramfs.cpio'), initramfs)
}

async function makeDisk({ root, disk }: Image): Promise<void> {
  await run('truncate', ['-s', '2G', disk])
  const features = ['-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard']
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', ...features, '-d', root, disk], { timeout: 300 })
}

/** Roots of older recipes go; a running build has one of its own name, which is young. */
function removeStale(current: string): void {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name)
    if (path === current || Date.now() - statSync(path).mtimeMs < 3_600_000) continue
    rmSync(path, { recursive: true, force: true })
  }
}

/** The image of this recipe, made when there is none yet (about a minute). */
export async function prepareImage(): Promise<Image> {
  const directory = join(cache, key())
  if (existsSync(directory)) return describe(directory)
  const staging = join(cache, `making-${process.pid}`)
  const root = join(staging, 'root')
  mkdirSync(staging, { recursive: true })
  try {
    await makeRoot(root)
    const tools = join(root, 'usr/lib/sixgate-test')
    for (const file of ['init', 'agent.py']) cpSync(join(here, file), join(tools, file))
    const image = describe(staging)
    await makeInitramfs(image)
    await makeDisk(image)
    renameSync(staging, directory)
  } catch (error) {
    rmSync(staging, { recursive: true, force: true })
    // somebody else was faster
    if (!existsSync(directory)) throw error
  }
  removeStale(directory)
  return describe(directory)
}
