// What the scripts of this folder share: connecting, waiting with a limit, and an exit code that tells.
import mqtt from 'mqtt'

export const port = Number(process.argv[2])
export const protocol = process.argv[3] || 'mqtt'
export const WAIT_MS = 8000 * Number(process.env.TIDEWIRE_E2E_PATIENCE || 1)
const clients = []
let names = 0

export function check(condition, claim) {
  if (!condition) throw new Error(claim)
}

export function same(got, expected, claim) {
  const [g, e] = [JSON.stringify(got), JSON.stringify(expected)]
  check(g === e, `${claim}: got ${g}, expected ${e}`)
}

export function within(promise, what, ms = WAIT_MS) {
  let timer
  const limit = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms) })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export async function connect(version, options = {}) {
  const client = mqtt.connect({
    host: '127.0.0.1', port, protocol, path: '/mqtt', protocolVersion: version, protocolId: version === 3 ? 'MQIsdp' : 'MQTT', reconnectPeriod: 0,
    clientId: `js${process.pid}n${++names}`, ...options
  })
  clients.push(client)
  client.inbox = []
  client.waiting = []
  client.on('message', (topic, payload, packet) => {
    const message = { topic, payload, packet }
    const next = client.waiting.shift()
    if (next) next(message)
    else client.inbox.push(message)
  })
  client.on('error', () => {})
  client.connack = await within(new Promise((resolve, reject) => {
    client.once('connect', resolve)
    client.once('error', reject)
    client.once('close', () => reject(new Error('closed before CONNACK')))
  }), 'CONNACK')
  return client
}

export function next(client) {
  if (client.inbox.length) return Promise.resolve(client.inbox.shift())
  return within(new Promise((resolve) => client.waiting.push(resolve)), 'a message')
}

// Runs the claims one after the other: [name, async function]. Exit code 1 if one fails.
export async function run(claims) {
  let failed = 0
  for (const [name, claim] of claims) {
    try {
      await within(claim(), name, 3 * WAIT_MS)
      console.log(`ok      ${name}`)
    } catch (error) {
      failed++
      console.log(`FAILED  ${name}\n        ${error.stack}`)
    }
    for (const client of clients.splice(0)) client.end(true)
  }
  process.exit(failed ? 1 : 0)
}
