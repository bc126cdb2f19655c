// MQTT.js with versions 3.1, 3.1.1 and 5: QoS, retained, sessions, wills, sizes.
import { check, connect, next, run, same, sleep } from './checks.mjs'

const VERSIONS = [3, 4, 5]

await run([
  ['every version reaches every version at every QoS [MQTT-3.8.4-8]', async () => {
    for (const from of VERSIONS) {
      for (const to of VERSIONS) {
        const [a, b] = [await connect(from), await connect(to)]
        for (const granted of [0, 1, 2]) {
          const topic = `js/matrix/${from}/${to}/${granted}`
          same((await b.subscribeAsync(topic, { qos: granted })).map((g) => g.qos), [granted], 'granted')
          for (const qos of [0, 1, 2]) {
            await a.publishAsync(topic, `payload ${qos}`, { qos })
            const got = await next(b)
            same([got.topic, got.payload.toString(), got.packet.qos, got.packet.retain, got.packet.dup], [topic, `payload ${qos}`, Math.min(qos, granted), false, false], topic)
          }
        }
      }
    }
  }],
  ['one megabyte arrives whole', async () => {
    const payload = Buffer.alloc(1_000_000, 'tide')
    for (const version of VERSIONS) {
      const c = await connect(version)
      await c.subscribeAsync('js/large', { qos: 2 })
      for (const qos of [0, 1, 2]) {
        await c.publishAsync('js/large', payload, { qos })
        check((await next(c)).payload.equals(payload), 'payload')
      }
      await c.endAsync()
    }
  }],
  ['pipelined messages keep their order [MQTT-4.6.0-6]', async () => {
    for (const version of VERSIONS) {
      const [a, b] = [await connect(version), await connect(version)]
      for (const qos of [0, 1, 2]) {
        const topic = `js/order/${version}/${qos}`
        await b.subscribeAsync(topic, { qos })
        for (let start = 0; start < 200; start += 10) {
          await Promise.all(Array.from({ length: 10 }, (_, n) => a.publishAsync(topic, String(start + n), { qos })))
        }
        for (let n = 0; n < 200; n++) same((await next(b)).payload.toString(), String(n), topic)
      }
    }
  }],
  ['retained messages are kept, found by wildcards and cleared [MQTT-3.3.1-5] [MQTT-3.3.1-6]', async () => {
    for (const version of VERSIONS) {
      const a = await connect(version)
      for (const leaf of ['x', 'y']) await a.publishAsync(`js/retained/${version}/${leaf}`, leaf, { qos: 1, retain: true })
      const b = await connect(version)
      await b.subscribeAsync(`js/retained/${version}/+`)
      const got = [await next(b), await next(b)]
      same(got.map((m) => [m.payload.toString(), m.packet.retain]).sort(), [['x', true], ['y', true]], 'retained')
      for (const leaf of ['x', 'y']) await a.publishAsync(`js/retained/${version}/${leaf}`, '', { qos: 1, retain: true })
      const c = await connect(version)
      await c.subscribeAsync(`js/retained/${version}/#`)
      await a.publishAsync(`js/retained/${version}/end`, 'end', { qos: 1 })
      same((await next(c)).payload.toString(), 'end', 'nothing retained is left')
    }
  }],
  ['a session keeps messages for an absent client [MQTT-3.1.2-5]', async () => {
    for (const version of VERSIONS) {
      const options = { clean: false, clientId: `jssession${version}p${process.pid}`, properties: version === 5 ? { sessionExpiryInterval: 60 } : undefined }
      const first = await connect(version, options)
      check(!first.connack.sessionPresent, 'no session yet')
      await first.subscribeAsync(`js/session/${version}`, { qos: 2 })
      await first.endAsync(version === 4)
      const sender = await connect(version)
      for (let n = 0; n < 10; n++) await sender.publishAsync(`js/session/${version}`, String(n), { qos: 1 + n % 2 })
      const second = await connect(version, options)
      if (version !== 3) check(second.connack.sessionPresent, 'session present')
      const got = []
      for (let n = 0; n < 10; n++) got.push(Number((await next(second)).payload.toString()))
      // MQTT.js hands over QoS 2 at PUBREL: the order holds per QoS.
      same(got.filter((n) => n % 2 === 0), [0, 2, 4, 6, 8], 'queued, QoS 1')
      same(got.filter((n) => n % 2 === 1), [1, 3, 5, 7, 9], 'queued, QoS 2')
    }
  }],
  ['a lost connection publishes the will, a closed one does not [MQTT-3.1.2-8] [MQTT-3.1.2-10]', async () => {
    const watcher = await connect(5)
    await watcher.subscribeAsync('js/will/#', { qos: 1 })
    for (const version of VERSIONS) {
      const closed = await connect(version, { will: { topic: `js/will/${version}`, payload: Buffer.from('never'), qos: 1, retain: false } })
      await closed.endAsync()
      const lost = await connect(version, { will: { topic: `js/will/${version}`, payload: Buffer.from('gone'), qos: 1, retain: false } })
      lost.stream.destroy()
      same((await next(watcher)).payload.toString(), 'gone', 'will')
    }
  }],
  ['200 clients at once: each message is counted', async () => {
    const size = 200
    const clients = await Promise.all(Array.from({ length: size }, (_, n) => connect(VERSIONS[n % 3])))
    await Promise.all(clients.map((c, n) => c.subscribeAsync([`js/crowd/${n}`, 'js/crowd/all'], { qos: 1 })))
    await Promise.all(clients.map(async (c, n) => {
      for (let k = 0; k < 5; k++) await c.publishAsync(`js/crowd/${(n + 1) % size}`, `${n}.${k}`, { qos: 1 })
      await c.publishAsync('js/crowd/all', `${n}`, { qos: 1 })
    }))
    for (const [n, c] of clients.entries()) {
      const own = []
      const all = new Set()
      for (let k = 0; k < 5 + size; k++) {
        const got = await next(c)
        if (got.topic === 'js/crowd/all') all.add(got.payload.toString())
        else own.push(got.payload.toString())
      }
      same(own, Array.from({ length: 5 }, (_, k) => `${(n + size - 1) % size}.${k}`), `own messages of ${n}`)
      same(all.size, size, `messages to all at ${n}`)
    }
    await sleep(100)
    same(clients.reduce((sum, c) => sum + c.inbox.length, 0), 0, 'nothing comes twice')
  }]
])
