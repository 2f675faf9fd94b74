'use strict';
// Similar titles, cached in Redis. Koa without a router: every span is named by its method alone.
const Koa = require('koa');
const Redis = require('ioredis');
const logger = require('pino')();
const { call, place } = require('./calls');
const { check } = require('./trouble');

const redis = new Redis({ host: '127.0.0.1', port: place('redis'), maxRetriesPerRequest: 1, commandTimeout: 3000 });
redis.on('error', (error) => logger.warn(`redis: ${error.message}`));

const app = new Koa();
app.on('error', (error) => logger.error(`recommend: ${error.message}`));
app.use(async (context) => {
  check('score');
  const isbn = context.path.split('/').pop();
  let known = await redis.get(`similar:${isbn}`);
  if (!known) {
    const similar = [];
    for (let next = 1; next <= 2; next += 1) {
      similar.push(await call('catalogue', `/titles/${(Number(isbn) + next * 7) % 500}`));
    }
    known = JSON.stringify(similar);
    await redis.set(`similar:${isbn}`, known, 'EX', 300);
  }
  context.body = JSON.parse(known);
});
app.listen(Number(process.env.PORT), '127.0.0.1', () => logger.info('recommend listens'));
