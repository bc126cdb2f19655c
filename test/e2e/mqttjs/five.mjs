// MQTT.js with version 5: properties, aliases both ways, options, shared subscriptions, limits, reasons.
import { check, connect, next, port, protocol, run, same, sleep, within } from './checks.mjs'
import mqtt from 'mqtt'

const onMosquitto = process.env.TIDEWIRE_E2E_PEER === 'mosquitto'

await run([
  ['message properties are carried [MQTT-3.3.2-4] to [MQTT-3.3.2-20]', async () => {
    const [a, b] = [await connect(5), await connect(5)]
    await b.subscribeAsync('js5/properties', { qos: 1 })
    await a.publishAsync('js5/properties', 'ü', {
      qos: 1,
      properties: { payloadFormatIndicator: true, messageExpiryInterval: 100, contentType: 'text/plain', responseTopic: 'r', correlationData: Buffer.from([0, 255]), userProperties: { z: ['1', '2'], a: '3' } }
    })
    const { properties } = (await next(b)).packet
    same([properties.payloadFormatIndicator, properties.contentType, properties.responseTopic, [...properties.correlationData]], [true, 'text/plain', 'r', [0, 255]], 'properties')
    same({ ...properties.userProperties }, { z: ['1', '2'], a: '3' }, 'user properties in order')
    check([99, 100].includes(properties.messageExpiryInterval), 'message expiry')
  }],
  ['subscription identifiers of overlapping filters are all told [MQTT-3.3.4-4]', async () => {
    const [a, b] = [await connect(5), await connect(5)]
    await b.subscribeAsync('js5/ids/a', { qos: 0, properties: { subscriptionIdentifier: 1 } })
    await b.subscribeAsync('js5/ids/+', { qos: 0, properties: { subscriptionIdentifier: 2 } })
    await a.publishAsync('js5/ids/a', 'x')
    const seen = []
    while (seen.length < 2) seen.push(...[(await next(b)).packet.properties.subscriptionIdentifier].flat())
    same(seen.sort(), [1, 2], 'identifiers')
  }],
  ['No Local, Retain As Published, Retain Handling [MQTT-3.8.3-3] [MQTT-3.3.1-13] [MQTT-3.3.1-11]', async () => {
    const [a, b] = [await connect(5), await connect(5)]
    await a.publishAsync('js5/options', 'kept', { qos: 1, retain: true })
    await b.subscribeAsync('js5/options', { qos: 1, nl: true, rap: true, rh: 2 })
    await b.publishAsync('js5/options', 'own', { qos: 1 })
    await a.publishAsync('js5/options', 'new', { qos: 1, retain: true })
    const got = await next(b)
    same([got.payload.toString(), got.packet.retain], ['new', true], 'message')
  }],
  ['aliases that MQTT.js assigns are understood [MQTT-3.3.2-11]', async () => {
    const [a, b] = [await connect(5, { autoAssignTopicAlias: true, autoUseTopicAlias: true }), await connect(5)]
    check(a.connack.properties.topicAliasMaximum > 0, 'the broker takes aliases')
    await b.subscribeAsync('js5/alias/#', { qos: 1 })
    for (let n = 0; n < 100; n++) {
      const topic = `js5/alias/${n * n % 17}`
      await a.publishAsync(topic, String(n), { qos: n % 2 })
      const got = await next(b)
      same([got.topic, got.payload.toString()], [topic, String(n)], 'resolved')
    }
  }],
  ['aliases towards MQTT.js resolve [MQTT-3.1.2-26]', async () => {
    const [a, b] = [await connect(5), await connect(5, { properties: { topicAliasMaximum: 4 } })]
    await b.subscribeAsync('js5/back/#', { qos: 1 })
    for (let n = 0; n < 100; n++) {
      const topic = `js5/back/${n * n % 17}`
      await a.publishAsync(topic, String(n), { qos: n % 2 })
      same((await next(b)).topic, topic, 'topic')
    }
  }],
  ['Receive Maximum and Maximum Packet Size of MQTT.js are kept [MQTT-3.3.4-9] [MQTT-3.1.2-24]', async () => {
    if (onMosquitto) return // 2.0.11 has more in flight than that, and MQTT.js stops answering
    const [a, b] = [await connect(5), await connect(5, { properties: { receiveMaximum: 2, maximumPacketSize: 200 } })]
    await b.subscribeAsync('js5/limits', { qos: 2 })
    for (let n = 0; n < 30; n++) await a.publishAsync('js5/limits', String(n), { qos: 2 })
    await a.publishAsync('js5/limits', 'x'.repeat(500), { qos: 0 })
    await a.publishAsync('js5/limits', 'end', { qos: 2 })
    for (let n = 0; n < 30; n++) same((await next(b)).payload.toString(), String(n), 'in order')
    same((await next(b)).payload.toString(), 'end', 'the large one was left out')
  }],
  ['an empty client identifier is replaced [MQTT-3.2.2-16]', async () => {
    const c = await connect(5, { clientId: '' })
    check(c.connack.properties.assignedClientIdentifier, 'assigned')
  }],
  ['UNSUBACK tells what existed [MQTT-3.11.3-1]', async () => {
    const c = await connect(5)
    await c.subscribeAsync('js5/unsubscribe')
    const packet = await new Promise((resolve, reject) => {
      c.on('packetreceive', (p) => { if (p.cmd === 'unsuback') resolve(p) })
      c.unsubscribe(['js5/unsubscribe', 'js5/none'], (error) => { if (error && !/17|0x11|No subscription/.test(String(error))) reject(error) })
    })
    same([...packet.granted], [0, 17], 'reasons')
  }],
  ['takeover is told with 0x8E [MQTT-3.1.4-3]', async () => {
    if (onMosquitto) return // 2.0.11 closes without DISCONNECT
    const clientId = `jstaken${process.pid}`
    const first = await connect(5, { clientId })
    const told = within(new Promise((resolve) => first.on('disconnect', resolve)), 'DISCONNECT')
    await connect(5, { clientId })
    same((await told).reasonCode, 0x8E, 'reason')
  }],
  ['an authentication method is refused with 0x8C [MQTT-4.12.0-1]', async () => {
    const client = mqtt.connect({ host: '127.0.0.1', port, protocol, path: '/mqtt', protocolVersion: 5, reconnectPeriod: 0, properties: { authenticationMethod: 'none such', authenticationData: Buffer.from('x') } })
    const error = await within(new Promise((resolve) => client.once('error', resolve)), 'an error')
    client.end(true)
    same(error.code, 0x8C, 'reason')
  }],
  ['shared subscriptions: each message once, everybody some (4.8.2)', async () => {
    const members = await Promise.all(Array.from({ length: 6 }, () => connect(5)))
    const senders = await Promise.all(Array.from({ length: 3 }, () => connect(5)))
    for (const m of members) await m.subscribeAsync('$share/js/js5/shared/#', { qos: 2 })
    await Promise.all(senders.map(async (s, i) => { for (let n = 0; n < 100; n++) await s.publishAsync(`js5/shared/${i}`, `${i}.${n}`, { qos: n % 3 }) }))
    const total = () => members.reduce((sum, m) => sum + m.inbox.length, 0)
    for (let tries = 0; tries < 200 && total() < 300; tries++) await sleep(20)
    await sleep(100)
    same(new Set(members.flatMap((m) => m.inbox.map((x) => x.payload.toString()))).size, 300, 'all')
    same(total(), 300, 'once')
    check(Math.min(...members.map((m) => m.inbox.length)) >= 15, `fair: ${members.map((m) => m.inbox.length)}`)
  }],
  ['request and response (4.10)', async () => {
    const [server, asker] = [await connect(5), await connect(5)]
    await server.subscribeAsync('js5/request', { qos: 1 })
    await asker.subscribeAsync('js5/answer', { qos: 1 })
    await asker.publishAsync('js5/request', '6*7', { qos: 1, properties: { responseTopic: 'js5/answer', correlationData: Buffer.from([0, 7, 255]) } })
    const { properties } = (await next(server)).packet
    await server.publishAsync(properties.responseTopic, '42', { qos: 1, properties: { correlationData: properties.correlationData } })
    const answer = await next(asker)
    same([answer.payload.toString(), [...answer.packet.properties.correlationData]], ['42', [0, 7, 255]], 'answer')
  }],
  ['a delayed will with its properties [MQTT-3.1.3-10], 3.1.3.2.2', async () => {
    const watcher = await connect(5)
    await watcher.subscribeAsync('js5/will')
    const lost = await connect(5, {
      clean: false, properties: { sessionExpiryInterval: 60 },
      will: { topic: 'js5/will', payload: Buffer.from('gone'), qos: 1, retain: false, properties: { willDelayInterval: 1, contentType: 't', userProperties: { b: '1', a: '2' } } }
    })
    lost.stream.destroy()
    await sleep(500)
    same(watcher.inbox.length, 0, 'not before its delay')
    const { payload, packet } = await next(watcher)
    same([payload.toString(), packet.properties.contentType, { ...packet.properties.userProperties }], ['gone', 't', { b: '1', a: '2' }], 'will')
  }]
])
