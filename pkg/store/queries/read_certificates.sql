-- All platform certificates of a merchant, retired ones included.
SELECT serial, pem, effective_at, expire_at, fetched_at
FROM platform_certificates
WHERE mchid = $1
ORDER BY effective_at DESC, serial
