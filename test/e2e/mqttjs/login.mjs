// MQTT.js with a user name and a password, and with none.
import { check, connect, next, run, same } from './checks.mjs'

async function refusal(version, options) {
  try {
    await connect(version, options)
  } catch (error) {
    return String(error)
  }
  return 'let in'
}

await run([
  ['every version is let in with its password and with no other', async () => {
    for (const version of [3, 4, 5]) {
      const c = await connect(version, { username: 'ann', password: 'secret' })
      await c.subscribeAsync(`js/login/${version}`)
      await c.publishAsync(`js/login/${version}`, 'hello')
      same((await next(c)).payload.toString(), 'hello', 'payload')
      check(await refusal(version, { username: 'ann', password: 'wrong' }) !== 'let in', 'a wrong password')
      check(await refusal(version, { username: 'nobody', password: 'secret' }) !== 'let in', 'an unknown user')
      check(await refusal(version, {}) !== 'let in', 'nobody')
    }
  }]
])
